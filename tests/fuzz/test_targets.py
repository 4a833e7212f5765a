"""Every target passes on its seeds, on simple changes of them, and on the inputs that a search once found."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from tests.fuzz.all_targets import TARGETS
from tests.fuzz.json_mutations import changed
from tests.fuzz.targets import TooSlow, limited, try_input

FOUND = Path(__file__).parents[1] / "cases" / "fuzzed"
CASES = sorted(str(path.relative_to(FOUND)) for path in FOUND.glob("*/*"))
CHANGES = 60


def bytes_changed(data: bytes, choose: random.Random) -> bytes:
    out = bytearray(data or b"\0")
    for _ in range(choose.randrange(1, 4)):
        at = choose.randrange(len(out))
        out[at : at + choose.randrange(3)] = choose.randbytes(choose.randrange(3))
        out = out or bytearray(b"\0")
    return bytes(out)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_is_near_them(name: str) -> None:
    target, choose = TARGETS[name], random.Random(name)
    seeds = list(target.seeds())
    for seed in seeds:
        try_input(target.run, seed)
    for number in range(CHANGES):
        seed = choose.choice(seeds)
        at = target.json_at
        made = bytes_changed(seed, choose)
        if at is not None and number % 3:
            # What is no JSON, or nests more deeply than orjson writes, is changed as bytes.
            with suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):
                value = changed(orjson.loads(seed[at:]), choose, lambda text: bytes_changed(text, choose))
                made = seed[:at] + orjson.dumps(value)
        try:
            try_input(target.run, made)
        except Exception as error:
            raise AssertionError(f"{name}: {made!r}") from error


@pytest.mark.parametrize("case", CASES)
def test_what_a_search_found(case: str) -> None:
    target = TARGETS[Path(case).parts[0]]
    try_input(target.run, (FOUND / case).read_bytes())


def test_an_input_that_takes_too_long_is_told() -> None:
    def forever(data: bytes) -> None:
        while True:
            pass

    with pytest.raises(TooSlow), limited(0.05):
        forever(b"")
