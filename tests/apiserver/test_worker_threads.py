"""What is too big for one turn of the loop: threads that tenants share, and slices of turns."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from hashlib import pbkdf2_hmac

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver import worker_threads
from tenantry.apiserver.worker_threads import AT_ONCE, WorkerThreads, is_light, run_weighed, weigh, workers
from tenantry.base.pauses import pause
from tenantry.base.time_slices import Turns
from tenantry.kube.codec import json_size
from tenantry.kube.status import StatusError
from tests.support.clock import Clock
from tests.support.waiting import one_turn


class Gate:
    """A job that lasts until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.opened.wait(30)
        return "through"


async def begun(gate: Gate) -> None:
    await asyncio.to_thread(gate.begun.wait, 30)


def note(done: list[str], name: str) -> Callable[[], str]:
    def job() -> str:
        done.append(name)
        return name

    return job


async def test_what_a_job_returns_and_raises() -> None:
    mine = WorkerThreads(threads=1)

    def refuse() -> str:
        raise StatusError(409, "Conflict", "no")

    assert await mine.run("a", threading.get_ident) != threading.get_ident()
    with pytest.raises(StatusError, match="no"):
        await mine.run("a", refuse)


async def test_a_request_that_goes_on_is_before_one_that_begins() -> None:
    mine, gate, done = WorkerThreads(threads=1), Gate(), list[str]()
    jobs = [asyncio.ensure_future(mine.run("a", gate))]
    await begun(gate)
    for number in range(2):
        jobs.append(asyncio.ensure_future(mine.run("a", note(done, f"begins-{number}"), begins=True)))
        jobs.append(asyncio.ensure_future(mine.run("a", note(done, f"goes-on-{number}"))))
    jobs.append(asyncio.ensure_future(mine.run("b", note(done, "other"), begins=True)))
    await one_turn()
    gate.opened.set()
    await asyncio.gather(*jobs)
    assert done == ["goes-on-0", "other", "goes-on-1", "begins-0", "begins-1"]


async def test_tenants_take_turns_however_much_one_of_them_wants() -> None:
    mine, gate, done = WorkerThreads(threads=1), Gate(), list[str]()
    jobs = [asyncio.ensure_future(mine.run("busy", gate))]
    await begun(gate)
    jobs += [asyncio.ensure_future(mine.run("busy", note(done, f"busy-{number}"))) for number in range(20)]
    await one_turn()
    jobs += [asyncio.ensure_future(mine.run(name, note(done, name))) for name in ("quiet", "calm")]
    await one_turn()

    gate.opened.set()
    await asyncio.gather(*jobs)

    assert done.index("quiet") <= 2
    assert done.index("calm") <= 3
    assert [name for name in done if name.startswith("busy")] == [f"busy-{number}" for number in range(20)]


async def test_a_second_job_begins_while_the_first_is_long() -> None:
    mine, gate = WorkerThreads(threads=2, long_seconds=0.05), Gate()
    first = asyncio.ensure_future(mine.run("a", gate))
    await begun(gate)
    started = time.monotonic()
    await asyncio.gather(*(mine.run(tenant, str) for tenant in ("a", "b", "c")))
    assert time.monotonic() - started >= 0.04, "short jobs are done one after the other"
    assert not first.done()
    gate.opened.set()
    assert await first == "through"


async def test_short_jobs_are_done_one_at_a_time() -> None:
    mine, at_work, most = WorkerThreads(threads=2, long_seconds=30.0), list[int](), list[int]()

    def job() -> None:
        at_work.append(1)
        most.append(len(at_work))
        # Some milliseconds in which the interpreter is free for another thread.
        pbkdf2_hmac("sha256", b"", b"", 5_000)
        at_work.pop()

    await asyncio.gather(*(mine.run(str(number % 3), job) for number in range(20)))
    assert max(most) == 1


def long(done: list[str], name: str, opened: threading.Event, begun: threading.Event | None = None) -> Callable[[], str]:
    """A job that pauses until it is let go."""

    def job() -> str:
        if begun is not None:
            begun.set()
        while not opened.wait(0.001):
            pause()
        done.append(name)
        return name

    return job


async def test_long_jobs_of_a_tenant_give_way_to_others() -> None:
    mine, opened, done = WorkerThreads(threads=1, long_seconds=0.02), threading.Event(), list[str]()
    jobs = [asyncio.ensure_future(mine.run("busy", long(done, f"busy-{number}", opened))) for number in range(32)]
    await one_turn()
    async with asyncio.timeout(30):
        for number in range(5):
            assert await mine.run("quiet", note(done, f"quiet-{number}")) == f"quiet-{number}"
    assert done == [f"quiet-{number}" for number in range(5)], "the long ones go on afterwards"
    opened.set()
    await asyncio.gather(*jobs)
    assert [name for name in done if name.startswith("busy")] == [f"busy-{number}" for number in range(32)]


async def test_long_jobs_of_several_tenants_take_turns() -> None:
    mine, opened, done = WorkerThreads(threads=2, long_seconds=0.01), threading.Event(), list[str]()
    jobs = [asyncio.ensure_future(mine.run(name, long(done, name, opened))) for name in "abcdefgh" for _ in range(2)]
    await one_turn()
    async with asyncio.timeout(30):
        await mine.run("quiet", note(done, "quiet"))
        assert done == ["quiet"]
        opened.set()
        await asyncio.gather(*jobs)
    assert sorted(done) == sorted([*"abcdefgh" * 2, "quiet"])


async def test_a_job_does_not_pause_where_no_other_tenant_waits() -> None:
    mine, opened, done, begun_ = WorkerThreads(threads=1, long_seconds=0.01), threading.Event(), list[str](), threading.Event()
    first = asyncio.ensure_future(mine.run("a", long(done, "first", opened, begun_)))
    await asyncio.to_thread(begun_.wait, 30)
    second = asyncio.ensure_future(mine.run("a", note(done, "second")))
    await asyncio.to_thread(opened.wait, 0.1)
    opened.set()
    await asyncio.gather(first, second)
    assert done == ["first", "second"]


async def test_one_tenant_does_not_have_all_threads() -> None:
    mine, gates, done = WorkerThreads(threads=3, of_one=2, long_seconds=0.01), [Gate() for _ in range(3)], list[str]()
    jobs = [asyncio.ensure_future(mine.run("busy", gate)) for gate in gates]
    await begun(gates[0])
    await begun(gates[1])
    async with asyncio.timeout(30):
        await mine.run("quiet", note(done, "quiet"))
    assert not gates[2].begun.is_set()
    for gate in gates:
        gate.opened.set()
    await asyncio.gather(*jobs)


async def test_a_long_job_ends_where_its_caller_is_gone() -> None:
    mine, begun_, ended = WorkerThreads(threads=1), threading.Event(), threading.Event()

    def job() -> None:
        begun_.set()
        try:
            while True:
                pause()
        finally:
            ended.set()

    left = asyncio.ensure_future(mine.run("a", job))
    await asyncio.to_thread(begun_.wait, 30)
    left.cancel()
    assert await asyncio.to_thread(ended.wait, 30)
    assert await mine.run("a", str) == ""


async def test_no_more_jobs_pause_than_threads_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_threads, "PAUSED", 1)
    mine, opened, done = WorkerThreads(threads=1, long_seconds=0.01), threading.Event(), list[str]()
    jobs = [asyncio.ensure_future(mine.run(name, long(done, name, opened))) for name in "abc"]
    await one_turn()
    last = asyncio.ensure_future(mine.run("d", note(done, "d")))
    opened.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*jobs, last)
    assert sorted(done) == ["a", "b", "c", "d"] and mine._paused == 0


async def test_too_much_of_one_tenant_and_of_all_is_refused() -> None:
    mine, gate = WorkerThreads(threads=1, waiting=5, waiting_of_one=3), Gate()
    jobs = [asyncio.ensure_future(mine.run("a", gate))]
    await begun(gate)
    jobs += [asyncio.ensure_future(mine.run("a", Gate.__name__.lower)) for _ in range(3)]
    await one_turn()
    with pytest.raises(StatusError) as refused:
        await mine.run("a", str)
    assert (refused.value.code, refused.value.headers) == (429, {"Retry-After": "1"})
    jobs += [asyncio.ensure_future(mine.run("b", Gate.__name__.lower)) for _ in range(2)]
    await one_turn()
    with pytest.raises(StatusError):
        await mine.run("c", str)
    gate.opened.set()
    await asyncio.gather(*jobs)
    assert await mine.run("c", str) == ""


async def test_a_job_that_nobody_waits_for_is_not_begun() -> None:
    mine, gate, done = WorkerThreads(threads=1), Gate(), list[str]()
    first = asyncio.ensure_future(mine.run("a", gate))
    await begun(gate)
    left, kept = (asyncio.ensure_future(mine.run("a", note(done, name))) for name in ("left", "kept"))
    await one_turn()
    left.cancel()
    await one_turn()
    gate.opened.set()
    await asyncio.gather(first, kept)
    assert done == ["kept"]


async def test_light_work_is_done_at_once() -> None:
    assert await run_weighed("a", AT_ONCE, threading.get_ident) == threading.get_ident()
    assert await run_weighed("a", AT_ONCE + 1, threading.get_ident) != threading.get_ident()


def test_a_loop_that_has_ended_does_not_end_the_threads() -> None:
    gate = Gate()

    async def leave() -> None:
        job = asyncio.ensure_future(workers.run("a", gate))
        await begun(gate)
        job.cancel()

    asyncio.run(leave())
    gate.opened.set()

    async def come_back() -> str:
        return await workers.run("a", lambda: "here")

    assert asyncio.run(come_back()) == "here"


async def test_long_work_shares_one_slice_of_each_turn() -> None:
    clock = Clock()
    mine = Turns(clock, slice_seconds=0.005)
    loop = asyncio.get_running_loop()
    turn, worked = 0, dict[int, int]()

    def count() -> None:
        nonlocal turn
        turn += 1
        if len(done) < 8:
            loop.call_soon(count)

    async def long() -> None:
        for _ in range(20):
            clock.now += 0.001
            worked[turn] = worked.get(turn, 0) + 1
            await mine.rest()
        done.append(turn)

    done: list[int] = []
    loop.call_soon(count)
    async with asyncio.timeout(30):
        await asyncio.gather(*(long() for _ in range(8)))

    assert sum(worked.values()) == 8 * 20
    # The first piece of each that comes is worked on before it asks; after that a turn has a slice, and one more piece.
    assert max(worked.values()) <= 5 + 8
    assert sorted(worked.values())[-2] <= 6, "of 8 at once each would take a slice of its own"


async def test_whoever_waits_for_a_turn_may_leave() -> None:
    clock = Clock()
    mine = Turns(clock, slice_seconds=0.005)
    await mine.rest()
    clock.now += 1
    first, second = asyncio.ensure_future(mine.rest()), asyncio.ensure_future(mine.rest())
    await one_turn()
    first.cancel()
    async with asyncio.timeout(30):
        await second


@given(
    st.recursive(
        st.none() | st.integers(0, 9) | st.text('a",{[\\', max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('a",{[\\', max_size=3), inner),
    )
)
def test_values_are_counted_outside_of_strings(value: object) -> None:
    def count(item: object) -> int:
        below = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        return 1 + sum(map(count, below))

    text = orjson.dumps(value)
    chunk = json_size._CHUNK_BYTES
    try:
        for size in (1, 2, 7, 1 << 16):
            json_size._CHUNK_BYTES = size
            found = json_size._outside_of_strings(text)
            # The opening of an empty container counts for what it might hold.
            assert count(value) - 1 <= found <= 2 * count(value)
    finally:
        json_size._CHUNK_BYTES = chunk
    assert weigh(text + b" " * 4096) >= count(value) - 1


@pytest.mark.parametrize("unit", [b"0", b"{}", b'{"a":[]}', b'"a"', b"[[]]", b'{"a":0,"b":1}'])
def test_a_body_of_too_many_values_is_known_before_it_is_decoded(unit: bytes) -> None:
    many = b"[" + b",".join([unit] * (json_size.MAX_VALUES + 1)) + b"]"
    assert json_size.has_too_many(many)
    assert json_size.holds_too_many(orjson.loads(many))
    few = b"[" + b",".join([unit] * (json_size.MAX_VALUES // 5)) + b"]"
    assert not json_size.has_too_many(few)
    assert not json_size.holds_too_many(orjson.loads(few))


def test_text_in_a_string_is_no_value() -> None:
    text = orjson.dumps({"data": {"a": '[{,\\"' * 500_000}})
    assert not json_size.has_too_many(text)
    assert not is_light(weigh(text))
