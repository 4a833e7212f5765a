"""No test waits for a time, or for a number of the event loop's turns: on another machine it is too short.

`tests/support/waiting.py` has what to wait with: `until`, `eventually`, `quiet`, `wait_for`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_SLEEP = {
    "tests/support/waiting.py": "looks at a condition again and again",
    "tests/faults/rounds.py": "how long the load runs before and after a fault",
    "tests/faults/load.py": "how long clients think, and when they ask again",
    "tests/faults/breakage.py": "how long a fault lasts, as the round's chance has it",
    "tests/faults/sabotage/sitecustomize.py": "what a sabotaged product does too late",
    "tests/virtual/apiexport/test_publishing_walk.py": "how many turns pass between two steps, as the walk's chance has it",
}
"""Where a time is what the file is about, and why."""
SLEEPS = {"asyncio.sleep", "time.sleep"}


def waits(source: str) -> Iterator[tuple[int, str]]:
    """The lines that wait for no condition, and what is wrong with each."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and names.get(text := ast.unparse(node.func), text) in SLEEPS:
            yield node.lineno, "sleeps"
        if isinstance(node, ast.For) and all(map(_is_turn, node.body)):
            yield node.lineno, "counts turns of the event loop"
        for body in (getattr(node, "body", ()), getattr(node, "orelse", ()), getattr(node, "finalbody", ())):
            if isinstance(body, list):
                for first, second in pairwise(body):
                    if _is_turn(first) and _is_turn(second):
                        yield second.lineno, "counts turns of the event loop"


def _is_turn(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and ast.unparse(statement) == "await one_turn()"


def test_every_wait_is_for_a_condition() -> None:
    found = [
        f"{name}:{line} {what}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) not in MAY_SLEEP
        for line, what in waits(path.read_text())
    ]
    assert not found, "wait for a condition with tests/support/waiting.py:\n" + "\n".join(found)


def test_whoever_may_sleep_does() -> None:
    for name in MAY_SLEEP:
        assert list(waits((ROOT / name).read_text())), f"{name} needs no exception any more"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import asyncio\nawait asyncio.sleep(0)", [2]),
        ("import time\ntime.sleep(1.5)", [2]),
        ("from time import sleep as pause\npause(1)", [2]),
        ("for _ in range(20):\n    await one_turn()", [1]),
        ("async def f():\n    await one_turn()\n    await one_turn()", [3]),
        ("await one_turn()\ntask.cancel()\nawait one_turn()\nawait until(lambda: done)", []),
        ("while not done:\n    await one_turn()\n    count += 1", []),
    ],
)
def test_what_is_a_wait_for_nothing(source: str, lines: list[int]) -> None:
    assert [line for line, _ in waits(source)] == lines
