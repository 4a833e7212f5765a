"""`make fuzz`: searches each target in turn for a part of the time, and says what was found.

Inputs that lead further are kept in `.fuzz/`, where the next search begins. What fails without instruments too is written to
tests/cases/fuzzed, which `make test` tries again: commit it with the fix.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from tests.fuzz.all_targets import TARGETS
from tests.fuzz.targets import try_input

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "cases" / "fuzzed"
WORK = ROOT / ".fuzz"
_GRACE_SECONDS = 600
"""Importing the product with instruments takes minutes on a busy machine."""


@dataclass(frozen=True)
class Done:
    """What a search did. `failed`: it ended by itself, and how."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    failed: str = ""


def search(name: str, seconds: int) -> Done:
    """Searches one target in a process of its own."""
    folder = WORK / name
    for part in ("corpus", "findings"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (folder / "corpus" / blake2b(seed, digest_size=16).hexdigest()).write_bytes(seed)
    (folder / "done.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.search", name, str(folder), str(seconds)]
    with (folder / "log").open("wb") as log:
        try:
            ended = subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=log, timeout=seconds + _GRACE_SECONDS, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            ended = -1
    failed = f"ended with {ended}, see {folder / 'log'}" if ended else ""
    if not (folder / "done.json").exists():
        return Done(name, failed=failed or "did nothing")
    done = json.loads((folder / "done.json").read_text())
    return Done(name, done["executions"], done["seconds"], done["processor"], failed)


def confirmed(name: str) -> Iterator[tuple[Path, str]]:
    """What was found and fails here too, without instruments: where it is kept, and how it fails."""
    for path in sorted((WORK / name / "findings").glob("*")):
        if path.suffix:
            continue
        data = path.read_bytes()
        try:
            try_input(TARGETS[name].run, data)
        except Exception as error:
            kept = KEPT / name / path.name
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(data)
            yield kept, f"{type(error).__name__}: {error}"[:200]


def main(arguments: Sequence[str] | None = None) -> int:
    """Searches. Returns 0 if nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, required=True, help="how long to search, all targets together")
    parser.add_argument("--workers", type=int, default=1, help="targets that are searched at a time; default: 1")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all")
    options = parser.parse_args(arguments)
    logging.disable()
    names = options.targets or list(TARGETS)
    each = max(1, options.seconds * options.workers // len(names))
    begin = time.monotonic()
    with ThreadPoolExecutor(min(options.workers, len(names))) as pool:
        all_done = list(pool.map(lambda name: search(name, each), names))
    found = 0
    print(f"{'target':<20} {'executions':>10} {'seconds':>8} {'of CPU':>8}  findings")
    for done in all_done:
        findings = list(confirmed(done.name))
        found += len(findings) + bool(done.failed)
        said = f"{len(findings)} {done.failed}"
        print(f"{done.name:<20} {done.executions:>10} {done.seconds:>8.0f} {done.processor_seconds:>8.0f}  {said}")
        for path, text in findings:
            print(f"    {os.path.relpath(path, ROOT)}: {text}")
    print(f"{time.monotonic() - begin:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
