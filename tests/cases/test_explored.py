"""What `make explore` finds is written as a case, and tried again in every run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import DidNotReproduce
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.support import explored
from tests.support.explored import FOLDER, RANDOM, Case, example_of, kept, run_machine

ROOT = Path(__file__).parent.parent.parent
NODE = "tests/cases/test_explored.py::test_something[a b]"


def test_kept_cases_name_tests() -> None:
    """Of a test that was renamed, the cases would be tried by nobody."""
    for test in kept():
        file, *_, name = test.split("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), f"{test}: correct the name in {FOLDER}"


class Property:
    """A property that holds for no number above a limit, and for none above it once it is mended."""

    def __init__(self) -> None:
        self.mended = False

    def holds(self, number: int, data: st.DataObject) -> None:
        assert self.mended or number + data.draw(st.integers(0, 5)) <= 500


def test_a_failure_is_a_case_until_it_is_mended(tmp_path: Path) -> None:
    property_ = Property()

    @settings(settings.get_profile(RANDOM), max_examples=1000)
    @given(st.integers(0, 100_000), st.data())
    def test(number: int, data: st.DataObject) -> None:
        property_.holds(number, data)

    with pytest.raises(AssertionError) as failed:
        test()
    (case,) = Case.of(NODE, failed.value)
    file = case.write(tmp_path)
    assert Case.read(file) == case
    assert file.name.startswith("test_something-a-b-")
    # The smallest that fails, for people.
    assert "number=496" in case.text or "number=501" in case.text, case.text

    with pytest.raises(AssertionError), example_of(test, case.blob):
        test()
    property_.mended = True
    with pytest.raises(DidNotReproduce), example_of(test, case.blob):
        test()
    test()


class Counter(RuleBasedStateMachine):
    mended = False

    def __init__(self) -> None:
        super().__init__()
        self.sum = 0

    @rule(number=st.integers(0, 100_000))
    def add(self, number: int) -> None:
        self.sum += number
        assert self.mended or self.sum % 50 != 49


def test_a_state_machine_s_failure_is_a_case_too(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError) as failed:
        run_machine(Counter, settings(settings.get_profile(RANDOM), max_examples=1000, stateful_step_count=5))
    (case,) = Case.of(request.node.nodeid, failed.value)
    case.write(tmp_path)
    monkeypatch.setattr(explored, "kept", lambda: {case.test: [case]})
    few = settings(max_examples=1, stateful_step_count=5)
    with pytest.raises(AssertionError):
        run_machine(Counter, few)
    monkeypatch.setattr(Counter, "mended", True)
    run_machine(Counter, few)


def test_what_is_no_case_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text("tests/kube/test_names.py::test_x\nnothing\n")
    with pytest.raises(ValueError, match=r"some\.txt has no @reproduce_failure"):
        Case.read(file)
