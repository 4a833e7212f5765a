"""What every process does: it starts, serves until it is told to end, and ends in order."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tenantry.apiserver.life_cycle import OPEN_FILES, Process, run_process
from tenantry.apiserver.settings import ProcessSettings
from tenantry.base.flags import SettingError
from tenantry.base.tasks import essential
from tenantry.http.certificates import CertificateAuthority
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Unavailable
from tests.support.patience import PATIENCE_SECONDS

AUTHORITY = CertificateAuthority.create()


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Fake(Process[ProcessSettings]):
    """`signals`: sent to this process when it begins to start. `fails`: raised by the start. `hangs`: it never ends."""

    def __init__(self, *, signals: int = 0, fails: Exception | None = None, hangs: bool = False) -> None:
        super().__init__(ProcessSettings(), MemoryStore(), AUTHORITY)
        self.seen: list[str] = []
        self._signals, self._fails, self._hangs = signals, fails, hangs

    @property
    def startup_message(self) -> str:
        return "fake serves"

    async def start(self) -> None:
        self._stack.callback(self.seen.append, "undone")
        for _ in range(self._signals):
            os.kill(os.getpid(), signal.SIGTERM)
        if self._fails is not None:
            raise self._fails
        if self._hangs:
            await asyncio.Event().wait()
        self.seen.append("started")

    async def drain(self) -> None:
        await super().drain()
        self.seen.append("drained")


def run(fake: Fake) -> int:
    async def opening(stack: AsyncExitStack) -> Fake:
        stack.callback(fake.seen.append, "closed")
        return fake

    return run_process(fake._settings, opening)


def test_a_signal_drains_and_ends_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(signals=1)
    assert run(fake) == 0
    assert fake.seen == ["started", "drained", "undone", "closed"]
    assert capsys.readouterr().out == "fake serves\n"


def test_a_signal_ends_a_start_that_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(signals=1, hangs=True)
    assert run(fake) == 0
    assert fake.seen == ["drained", "undone", "closed"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [OSError("no such file"), Unavailable("etcd is away"), SettingError("--x is wrong")])
def test_what_the_operator_can_mend_is_said_in_a_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(fails=error)
    assert run(fake) == 1
    assert capsys.readouterr().err == f"tenantry: {error}\n"
    assert fake.seen == ["undone", "closed"]


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512) - 1, hard))
    try:
        run(Fake(signals=1))
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, OPEN_FILES), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_death_of_an_essential_task_ends_the_process_in_order() -> None:
    class Dying(Fake):
        async def start(self) -> None:
            await super().start()
            self.task = essential(self.die(), name="the heart")

        async def die(self) -> None:
            raise ZeroDivisionError

    fake = Dying()
    assert run(fake) == 1
    assert fake.seen == ["started", "drained", "undone", "closed"]


class Hanging(Fake):
    """An essential task of it fails, and the part of its end that `where` names waits for it for ever."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    async def start(self) -> None:
        await super().start()
        self._stack.push_async_callback(self.hang, "stop")
        self.task = essential(self.die(), name="the heart")

    async def drain(self) -> None:
        await super().drain()
        await self.hang("drain")

    async def die(self) -> None:
        raise ZeroDivisionError

    async def hang(self, where: str) -> None:
        if where == self._where:
            await asyncio.Event().wait()


@pytest.mark.parametrize("where", ["drain", "stop"])
def test_a_process_without_an_essential_task_does_not_wait_for_what_hangs(where: str) -> None:
    program = f"from tests.apiserver.test_life_cycle import Hanging, run; run(Hanging({where!r}))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert ended.returncode == 1
    assert "the heart ended" in ended.stderr
    assert "did not end in order" in ended.stderr


def test_what_is_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(Fake(fails=ZeroDivisionError()))


async def test_probes_and_metrics_are_served_over_plain_http() -> None:
    class Probed(Fake):
        async def start(self) -> None:
            await self._serve_probes("127.0.0.1", 0)

    fake = Probed()
    await fake.start()
    base = f"http://127.0.0.1:{fake.health_port}"
    async with aiohttp.ClientSession() as session:
        for path, code in (("/readyz", 200), ("/livez", 200), ("/healthz/ping", 200), ("/metrics", 200), ("/api", 404)):
            async with session.get(base + path) as got:
                assert got.status == code, path
        await fake.drain()
        async with session.get(f"{base}/readyz") as got:
            assert got.status == 500
    await fake.stop()
