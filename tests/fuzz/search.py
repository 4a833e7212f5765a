"""The process that searches: one target, under atheris. It goes on after what it finds, and keeps one input of each kind.

    python -m tests.fuzz.search TARGET FOLDER SECONDS

It runs in an environment of its own, where `tests.fuzz.rounds` starts it.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
import traceback
from hashlib import blake2b
from pathlib import Path

import atheris
import orjson

with atheris.instrument_imports(include=["tenantry"]):
    from tests.fuzz.all_targets import TARGETS
    from tests.fuzz.json_mutations import changed
    from tests.fuzz.targets import INPUT_BYTES_MAX, Target, TooSlow, try_input

SLOWER = 4.0
"""How many times longer instrumented code takes, about. What was found is timed again without instruments."""
_FINDINGS_MAX = 40
_NOTE_SECONDS = 2.0
_MEMORY_MB = 3000
_HANGS_SECONDS = 60
_AS_BYTES = 0.3
"""The part of an input's changes that may break its form."""


class Search:
    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._found: dict[tuple[str, ...], str] = {}
        self._begin = time.monotonic()
        self._noted = 0.0
        self.executions = 0

    def one(self, data: bytes) -> None:
        self.executions += 1
        try:
            try_input(self._target.run, data, slower=SLOWER)
        except Exception as error:
            self._keep(data, error)
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self.note()

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = () if isinstance(error, TooSlow) else tuple(f"{frame.filename}:{frame.lineno}" for frame in frames[-2:])
        kind = (type(error).__name__, *place)
        if kind in self._found or len(self._found) >= _FINDINGS_MAX:
            return
        name = blake2b(data, digest_size=8).hexdigest()
        self._found[kind] = name
        (self._folder / "findings" / name).write_bytes(data)
        text = "".join(traceback.format_exception(error, limit=-12))
        (self._folder / "findings" / f"{name}.txt").write_text(text, errors="backslashreplace")

    def note(self) -> None:
        """libFuzzer ends the process itself, so what was done is written down while it runs."""
        self._noted = time.monotonic()
        done = {"executions": self.executions, "seconds": self._noted - self._begin, "processor": time.process_time()}
        (self._folder / "done.json").write_text(json.dumps(done))

    def mutate(self, data: bytes, size_max: int, seed: int) -> bytes:
        choose, at = random.Random(seed), self._target.json_at or 0
        if choose.random() > _AS_BYTES:
            try:
                value = orjson.loads(data[at:])
                made: bytes = data[:at] + orjson.dumps(changed(value, choose, _mutated))
            except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
                pass
            else:
                if len(made) <= size_max:
                    return made
        return bytes(atheris.Mutate(data, size_max))


def _mutated(text: bytes) -> bytes:
    return bytes(atheris.Mutate(text, len(text) + 32))


def escaped(word: str) -> str:
    """A word as libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def main(name: str, folder: Path, seconds: int) -> None:
    logging.disable()
    target = TARGETS[name]
    search = Search(target, folder)
    words = folder / "words"
    words.write_text("".join(f'"{escaped(word)}"\n' for word in target.words))
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX // 4}",
        f"-timeout={_HANGS_SECONDS}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-artifact_prefix={folder}/crash-",
        *([f"-dict={words}"] if target.words else []),
        "-print_final_stats=0",
        "-verbosity=0",
        str(folder / "corpus"),
    ]
    if target.json_at is None:
        atheris.Setup(arguments, search.one)
    else:
        atheris.Setup(arguments, search.one, custom_mutator=search.mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
