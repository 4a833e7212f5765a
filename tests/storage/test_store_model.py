"""Any sequence of calls against a model of the contract: a dict, a log, and what each watch still has to see."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenantry.storage.store import Compacted, Compare, CompareFailed, Delete, LeaseGone, Put
from tests.support.explored import run_machine
from tests.support.stores import ENGINES, Watch, brief, brief_event

KEYS = [b"/%c" % letter for letter in b"abcdef"]
keys = st.sampled_from(KEYS)
bounds = st.sampled_from([b"/", *KEYS, b"0"])
TTL_SECONDS = 10
Entry = tuple[bytes, int, int]  # value, mod_revision, create_revision
T = TypeVar("T")


class StoreMachine(RuleBasedStateMachine):
    engine_name: str

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.engine = ENGINES[self.engine_name](Path(self.directory.name))
        self.run(self.engine.start())
        self.revision = self.run(self.engine.store.read(b"/", b"0")).revision
        self.compacted = 0
        self.states: dict[int, dict[bytes, Entry]] = {self.revision: {}}
        self.log: list[tuple[int, list[tuple[bool, Any, Any]]]] = []
        self.leases: dict[int, float] = {}
        self.lease_of: dict[bytes, int] = {}
        self.watches: list[tuple[Watch, bytes, bytes, int]] = []

    def run(self, awaitable: Awaitable[T]) -> T:
        return self.runner.run(asyncio.wait_for(awaitable, 60))

    @property
    def state(self) -> dict[bytes, Entry]:
        return self.states[self.revision]

    def record(self, puts: list[tuple[bytes, bytes, int]], deleted: list[bytes]) -> None:
        """What a commit does to the model."""
        deleted = [key for key in deleted if key in self.state]
        if not puts and not deleted:
            return
        before, after, revision = self.state, dict(self.state), self.revision + 1
        events = []
        for key, value, lease in puts:
            previous = before.get(key)
            after[key] = (value, revision, previous[2] if previous else revision)
            events.append((False, (key, value, revision), previous and (key, *previous[:2])))
            self.lease_of.pop(key, None)
            if lease:
                self.lease_of[key] = lease
        for key in deleted:
            previous = after.pop(key)
            self.lease_of.pop(key, None)
            events.append((True, (key, b"", revision), (key, *previous[:2])))
        self.revision = revision
        self.states[revision] = after
        self.log.append((revision, events))

    def expected_after(self, start: bytes, end: bytes, revision: int) -> list[tuple[int, list[tuple[bool, Any, Any]]]]:
        found = []
        for at, events in self.log:
            inside = [event for event in events if start <= event[1][0] < end]
            if at >= revision and inside:
                found.append((at, inside))
        return found

    @rule(
        puts=st.dictionaries(keys, st.binary(max_size=3), max_size=3),
        deletes=st.sets(keys, max_size=2),
        fence=st.one_of(st.none(), st.tuples(keys, st.sampled_from([-1, 0, 1]))),
        leased=st.booleans(),
    )
    def commit(self, puts: dict[bytes, bytes], deletes: set[bytes], fence: tuple[bytes, int] | None, leased: bool) -> None:
        removed = sorted(deletes - puts.keys())
        lease = next(iter(self.leases), 0) if leased else 0
        fences = []
        if fence is not None:
            key, off = fence
            entry = self.state.get(key)
            fences = [Compare(key, max(0, (entry[1] if entry else 0) + off))]
        commit = self.engine.store.commit(
            fences, [Put(key, value, 0, lease) for key, value in puts.items()], [Delete(key) for key in removed]
        )
        if fences and fences[0].mod_revision != (entry[1] if entry else 0):
            with pytest.raises(CompareFailed) as refused:
                self.run(commit)
            assert refused.value.value == (entry[0] if entry else None)
            return
        revision = self.run(commit)
        self.record([(key, value, lease) for key, value in puts.items()], removed)
        assert revision == self.revision

    @rule(bound=st.tuples(bounds, bounds))
    def delete_interval(self, bound: tuple[bytes, bytes]) -> None:
        start, end = min(bound), max(bound)
        if start == end:
            return
        self.run(self.engine.store.commit([], [], [Delete(start, end)]))
        self.record([], sorted(key for key in self.state if start <= key < end))

    @rule(start=bounds, end=bounds, back=st.integers(0, 6), limit=st.one_of(st.none(), st.integers(1, 4)))
    def read(self, start: bytes, end: bytes, back: int, limit: int | None) -> None:
        at = max(1, self.revision - back)
        read = self.engine.store.read(start, end, revision=at if back else None, limit=limit)
        if at < self.compacted:
            with pytest.raises(Compacted) as refused:
                self.run(read)
            assert refused.value.revision == self.compacted
            return
        page = self.run(read)
        expected = [(key, *entry) for key, entry in sorted(self.states.get(at, {}).items()) if start <= key < end]
        found = [(*(brief(kv) or ()), kv.create_revision) for kv in page.kvs]
        assert found == (expected if limit is None else expected[:limit])
        assert page.more == (len(found) < len(expected))
        assert page.revision == at

    @precondition(lambda self: len(self.watches) < 3)
    @rule(bound=st.tuples(bounds, bounds), back=st.integers(-1, 8))
    def watch(self, bound: tuple[bytes, bytes], back: int) -> None:
        start, end, since = min(bound), max(bound), max(1, self.revision - back)
        watch = Watch(self.engine.store, start, end, since)
        if since < self.compacted:
            with pytest.raises(Compacted):
                self.run(watch.progress())
            return
        batches, reached = self.run(watch.progress())
        found = [(batch.revision, [brief_event(event) for event in batch.events]) for batch in batches]
        assert found == self.expected_after(start, end, since)
        assert reached == self.revision
        self.watches.append((watch, start, end, max(since, self.revision + 1)))

    @rule()
    def follow(self) -> None:
        """Every watch shows exactly what was committed since."""
        for at, (watch, start, end, since) in enumerate(self.watches):
            for revision, events in self.expected_after(start, end, since):
                batch = self.run(watch.next())
                assert (batch.revision, [brief_event(event) for event in batch.events]) == (revision, events)
            self.watches[at] = (watch, start, end, max(since, self.revision + 1))

    @precondition(lambda self: self.watches)
    @rule()
    def end_watch(self) -> None:
        self.follow()
        self.run(self.watches.pop()[0].close())

    @rule(back=st.integers(0, 4))
    def compact(self, back: int) -> None:
        at = max(1, self.revision - back)
        self.run(self.engine.store.compact(at))
        self.compacted = max(self.compacted, at)

    @rule()
    def grant(self) -> None:
        lease = self.run(self.engine.store.grant_lease(TTL_SECONDS))
        assert lease
        assert lease not in self.leases
        self.leases[lease] = self.engine.clock.now + TTL_SECONDS

    @precondition(lambda self: self.leases)
    @rule()
    def keep_alive(self) -> None:
        lease = next(reversed(self.leases))
        assert self.run(self.engine.store.keep_alive(lease)) > 0
        self.leases[lease] = self.engine.clock.now + TTL_SECONDS

    @rule(seconds=st.sampled_from([1, 4, 7]))
    def advance(self, seconds: int) -> None:
        self.run(self.engine.advance(seconds))
        for lease, deadline in list(self.leases.items()):
            if deadline <= self.engine.clock.now:
                self.end(lease)

    @precondition(lambda self: self.leases)
    @rule()
    def revoke(self) -> None:
        lease = next(iter(self.leases))
        self.run(self.engine.store.revoke_lease(lease))
        self.end(lease)
        with pytest.raises(LeaseGone):
            self.run(self.engine.store.keep_alive(lease))

    def end(self, lease: int) -> None:
        del self.leases[lease]
        # In which order the keys of a lease go is the engine's affair, so they are compared as the engine shows them.
        gone = [key for key, holder in self.lease_of.items() if holder == lease]
        if gone:
            page = self.run(self.engine.store.read(b"/", b"0"))
            assert not {kv.key for kv in page.kvs} & set(gone)
            watch = Watch(self.engine.store, b"/", b"0", self.revision + 1)
            self.record([], [event.kv.key for event in self.run(watch.next()).events])
            self.run(watch.close())
            assert not set(gone) & self.state.keys()

    @precondition(lambda self: self.engine.durable)
    @rule()
    def restart(self) -> None:
        self.follow()
        for watch, *_ in self.watches:
            self.run(watch.close())
        self.watches.clear()
        self.run(self.engine.restart())
        self.leases = dict.fromkeys(self.leases, self.engine.clock.now + TTL_SECONDS)

    @invariant()
    def present(self) -> None:
        page = self.run(self.engine.store.read(b"/", b"0"))
        assert page.revision == self.revision
        assert [(*(brief(kv) or ()), kv.create_revision) for kv in page.kvs] == [
            (key, *entry) for key, entry in sorted(self.state.items())
        ]

    def teardown(self) -> None:
        for watch, *_ in self.watches:
            self.run(watch.close())
        self.run(self.engine.stop())
        self.runner.close()
        self.directory.cleanup()


@pytest.mark.hypothesis
@pytest.mark.parametrize("engine_name", sorted(ENGINES))
def test_any_sequence_of_calls(engine_name: str) -> None:
    machine = type("Machine", (StoreMachine,), {"engine_name": engine_name})
    # With etcd each example starts a server, and kills and starts it again a few times.
    examples = 10 if engine_name == "etcd" else 30
    run_machine(
        machine,
        settings(max_examples=examples, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )
