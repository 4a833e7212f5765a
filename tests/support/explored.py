"""Failures of property-based tests that a random search found: kept as files, and tried again in every run.

`make explore` (tools/explore.py) searches: it runs the property-based tests with other random examples each time, and this plugin
writes each failure to a file of its own in tests/cases/explored. In every other run the same plugin gives a test the examples of
its files before hypothesis makes any. Both use hypothesis' own `reproduce_failure`.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, reproduce_failure, settings
from hypothesis.errors import DidNotReproduce
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

FOLDER = Path(__file__).parent.parent / "cases" / "explored"
FIXED, RANDOM = "fixed", "explore"
_BLOB = re.compile(r"@reproduce_failure\('[^']*', (b'[^']*')\)")


def register_profiles() -> None:
    """`fixed` is for every run: the same examples each time, so that a failure is there for the next run to see. `explore` has
    others each time. How long an example takes is up to the machine."""
    settings.register_profile(FIXED, deadline=None, derandomize=True)
    settings.register_profile(RANDOM, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile(FIXED)


@dataclass(frozen=True, slots=True)
class Case:
    """`test` is the test's node id, `blob` hypothesis' own name of the example, `text` what hypothesis said of the failure."""

    test: str
    blob: bytes
    text: str

    @classmethod
    def read(cls, file: Path) -> Case:
        """Raises ValueError where it is not a case's file."""
        test, _, text = file.read_text().partition("\n")
        found = _BLOB.search(text)
        if found is None:
            raise ValueError(f"{file} has no @reproduce_failure(…)")
        return cls(test, ast.literal_eval(found[1]), text)

    @classmethod
    def of(cls, test: str, error: BaseException) -> list[Case]:
        """What hypothesis noted of a test's failure; one for each where there were several."""
        if isinstance(error, BaseExceptionGroup):
            return [case for one in error.exceptions for case in cls.of(test, one)]
        text = "\n".join(getattr(error, "__notes__", ()))
        found = _BLOB.search(text)
        if found is None:
            return []
        return [cls(test, ast.literal_eval(found[1]), f"{type(error).__name__}: {error}\n{text}\n")]

    def write(self, folder: Path) -> Path:
        """Its file, which is named for the test and the example."""
        name = re.sub(r"\W+", "-", self.test.rpartition("::")[2]).strip("-")
        digest = hashlib.sha256(self.test.encode() + self.blob).hexdigest()[:8]
        file = folder / f"{name}-{digest}.txt"
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{self.test}\n{self.text}")
        return file


@cache
def kept(folder: Path = FOLDER) -> dict[str, list[Case]]:
    """By test."""
    out: dict[str, list[Case]] = {}
    for file in sorted(folder.glob("*.txt")):
        case = Case.read(file)
        out.setdefault(case.test, []).append(case)
    return out


def run_machine(machine: type[RuleBasedStateMachine], machine_settings: settings) -> None:
    """A state machine as a test: first the cases that were kept of the test that calls this."""
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    for case in kept().get(test, ()):
        again = type(machine.__name__, (machine,), {})
        with suppress(DidNotReproduce):
            run_state_machine_as_test(
                reproduce_failure(hypothesis.__version__, case.blob)(again),
                settings=machine_settings,
            )
    run_state_machine_as_test(machine, settings=machine_settings)


class Explored:
    """The plugin of pytest. `until`: the end of a search, in seconds of the epoch; None where this is no search."""

    def __init__(self, until: float | None) -> None:
        self._until = until

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        if self._until is not None and time.time() >= self._until:
            item.session.shouldstop = "the time to explore is over"

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        # Those of a state machine are tried by `run_machine`.
        if isinstance(item, pytest.Function) and hypothesis.is_hypothesis_test(item.obj):
            for case in kept().get(item.nodeid, ()):
                with suppress(DidNotReproduce), example_of(item.obj, case.blob):
                    item.runtest()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if self._until is not None and call.when == "call" and call.excinfo is not None:
            files = [case.write(FOLDER) for case in Case.of(item.nodeid, call.excinfo.value)]
            report.sections += [("kept for every run", str(file.relative_to(item.config.rootpath))) for file in files]
        return report


@contextmanager
def example_of(test: Any, blob: bytes) -> Iterator[None]:
    """Has a test get this example and no other. Raises DidNotReproduce where it passes, which is what is hoped for."""
    inner: Callable[..., Any] = test.hypothesis.inner_test
    reproduce_failure(hypothesis.__version__, blob)(test)
    try:
        yield
    finally:
        # pytest-asyncio puts a wrapper here, and hypothesis has no way to take its decorator off again.
        test.hypothesis.inner_test = inner
        test._hypothesis_internal_use_reproduce_failure = None
