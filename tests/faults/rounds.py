"""Rounds of breaking a platform of real processes under load. `make faults ROUNDS=500 SEED=…` runs them by hand.

A round: load begins, something breaks, all of it is served again, load ends, and the checker judges what everybody was told
against what etcd recorded. A platform is used for the next round as long as nothing was wrong with it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.breakable_fleet import RECOVERY_SECONDS_MAX, BreakableFleet
from tests.faults.breakage import Round, fault_of
from tests.faults.checker import check
from tests.faults.client import http_session
from tests.faults.load import Load
from tests.faults.log import Log
from tests.faults.record import present_revision, recorded
from tests.faults.verdict import Verdict
from tests.support.logs import excerpts
from tools.spawning import Spawn, forked

PLATFORM_ROUNDS_MAX = 100
"""Then a new platform, since etcd keeps the whole history of one."""
BEFORE_SECONDS = 0.3
AFTER_SECONDS = 0.3


class Failed(AssertionError):
    """A round whose promises were not kept; `verdict` is there if it came so far."""

    def __init__(self, text: str, verdict: Verdict | None = None) -> None:
        super().__init__(text)
        self.verdict = verdict


class Rounds:
    """Runs rounds by their numbers. A context manager. `folder`: for logs; those of good rounds are removed, unless they
    are to be kept."""

    def __init__(self, seed: str, folder: Path, *, keep: bool = False, spawn: Spawn = forked) -> None:
        self.seed = seed
        self.folder = folder
        self._keep = keep
        self._spawn = spawn
        self._runner = asyncio.Runner()
        self._platform: BreakableFleet | None = None
        self._used = 0

    def __enter__(self) -> Rounds:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._end())
        self._runner.close()

    def run(self, number: int) -> Verdict:
        """One round. Raises Failed."""
        return self._runner.run(self._run(number))

    async def _run(self, number: int) -> Verdict:
        if self._used >= PLATFORM_ROUNDS_MAX:
            await self._discard()
        if self._platform is None:
            self._platform, self._used = await BreakableFleet.start(self._spawn), 0
        self._used += 1
        path = self.folder / f"round-{number}.log"
        path.unlink(missing_ok=True)
        fault = fault_of(self.seed, number)
        verdict: Verdict | None = None
        why = ""
        with Log(path) as log:
            try:
                await self._round(self._platform, number, log)
            except (AssertionError, TimeoutError) as error:
                why = str(error) or repr(error)
            except BaseException:
                await self._fail(path)
                raise
            else:
                verdict = check(log.entries)
        if verdict:
            if self._keep:
                self._keep_logs(path)
            else:
                path.unlink()
            return verdict
        await self._fail(path)
        text = verdict.summary() if verdict is not None else why
        failed = Failed(f"round {number} of seed {self.seed} ({fault.__name__}), log {path}:\n{text}", verdict)
        failed.add_note(excerpts(sorted(path.with_suffix(".processes").glob("*.log"))))
        raise failed

    async def _round(self, platform: BreakableFleet, number: int, log: Log) -> None:
        seed = f"{self.seed} {number}"
        prefix = f"f{number}-"
        await platform.whole()
        since = await present_revision(platform.store)
        async with http_session(str(platform.fleet.ca), platform.fleet.token()) as session:
            load = Load(session, platform.fleet.urls, log, platform.ranges, view=platform.view, seed=seed, prefix=prefix)
            try:
                async with asyncio.timeout(RECOVERY_SECONDS_MAX):
                    await load.start()
                await asyncio.sleep(BEFORE_SECONDS)
                await fault_of(self.seed, number)(Round(platform, load, log, random.Random(seed)))
                await platform.whole()
                await asyncio.sleep(AFTER_SECONDS)
                async with asyncio.timeout(RECOVERY_SECONDS_MAX):
                    await load.stop()
            finally:
                await load.abandon()
        async for entry in recorded(platform.store, since, prefix):
            log.add(entry)

    async def _fail(self, path: Path) -> None:
        self._keep_logs(path)
        await self._discard()

    def _keep_logs(self, path: Path) -> None:
        if self._platform is not None:
            folder = path.with_suffix(".processes")
            folder.mkdir(exist_ok=True)
            self._platform.keep_logs(folder)

    async def _end(self) -> None:
        """What an interrupted round left running has to end before its platform does."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._discard()

    async def _discard(self) -> None:
        platform, self._platform = self._platform, None
        if platform is not None:
            await platform.stop()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tests.faults.rounds", description="Breaks platforms under load, and checks their promises."
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="number of the first round, to repeat one")
    parser.add_argument("--seed", default="tenantry")
    parser.add_argument("--logs", type=Path, help="directory for the logs of rounds that fail")
    parser.add_argument("--keep", action="store_true", help="keep the logs of good rounds, too")
    options = parser.parse_args(arguments)
    # A store that goes away is what rounds are about.
    logging.getLogger("tenantry").setLevel(logging.ERROR)
    folder = options.logs or Path(tempfile.mkdtemp(prefix="tenantry-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever ends it wants to know what was found so far, and no process left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    total = Verdict()
    failed: list[int] = []
    done = 0
    with Rounds(options.seed, folder, keep=options.keep) as rounds:
        for number in range(options.first, options.first + options.rounds):
            began = time.monotonic()
            try:
                verdict: Verdict | None = rounds.run(number)
            except Failed as error:
                verdict = error.verdict
                failed.append(number)
                print(error, flush=True)
            except KeyboardInterrupt:
                print("interrupted")
                break
            done += 1
            if verdict is not None:
                total.add(verdict)
            what = f"round {number}: {fault_of(options.seed, number).__name__}, {time.monotonic() - began:.1f} s"
            print(f"{what}, {'failed' if number in failed else 'good'}", flush=True)
    print(f"{done} rounds, seed {options.seed}: {len(failed)} failed {failed or ''}")
    print(total.summary())
    if failed:
        print(f"logs: {folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
