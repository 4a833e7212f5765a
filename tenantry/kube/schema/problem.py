"""An error of validation, before it becomes text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

from tenantry.kube.field_errors import show
from tenantry.kube.field_paths import Path, path_text
from tenantry.kube.status import CAUSES_MAX

NO_FIELD = "<nil>"
"""What Go prints for a missing path."""


class Problem(NamedTuple):
    """`kind` is as in FieldError. `node` is the path of the invalid value, for ratcheting. `field` is the path in the error,
    as a text where it is known as one, and NO_FIELD where the error has none."""

    kind: str
    node: Path
    field: Path | str
    text: str


class TooManyAlternatives(Exception):
    """Trying the alternatives of a schema on an object would cost too much."""


class TooMuchMatching(Exception):
    """Matching the patterns of a schema against the texts of an object would cost too much."""


class ValidationBudget:
    """How much validating an object may cost, in addition to visiting it once.

    Two budgets: `STEPS` for matching large patterns (`regex.Pattern.steps`), and one for trying the alternatives of a schema
    (allOf, anyOf, oneOf, not). Each alternative visits the whole value again, and alternatives may be nested. The second budget
    is `TIMES` the size of the object and `AT_LEAST` more.
    """

    __slots__ = ("_left", "_root", "_sizes", "_steps")

    TIMES, AT_LEAST = 20, 100_000
    STEPS = 4_000_000

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left: int | None = None
        self._sizes: dict[int, int] = {}
        self._steps = self.STEPS

    def match(self, steps: int) -> None:
        """Charges the steps that matching a pattern may take. Called before the match. Raises TooMuchMatching."""
        self._steps -= steps
        if self._steps < 0:
            raise TooMuchMatching

    def spend(self, value: Any) -> None:
        """Called before an alternative is tried on a value. Raises TooManyAlternatives."""
        if self._left is None:
            self._left = self.TIMES * self._size(self._root) + self.AT_LEAST
        self._left -= self._size(value)
        if self._left < 0:
            raise TooManyAlternatives

    def _size(self, value: Any) -> int:
        if type(value) is not dict and type(value) is not list:
            return 1
        known = self._sizes.get(id(value))
        if known is None:
            known = self._sizes[id(value)] = 1 + sum(map(self._size, value.values() if type(value) is dict else value))
        return known


class Problems(list[Problem]):
    """A list of problems, at most as many as an answer shows. Problems for which `is_ratcheted` is true are left out."""

    def __init__(self, work: ValidationBudget | None = None, is_ratcheted: Callable[[Problem], bool] | None = None) -> None:
        super().__init__()
        self.work = work
        self._is_ratcheted = is_ratcheted

    def append(self, problem: Problem) -> None:
        if len(self) < CAUSES_MAX and (self._is_ratcheted is None or not self._is_ratcheted(problem)):
            super().append(problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            if len(self) >= CAUSES_MAX:
                return
            self.append(problem)

    def add_all(self, problems: Iterable[Problem]) -> None:
        """Adds problems, also those for which `is_ratcheted` is true."""
        super().extend(islice(problems, max(0, CAUSES_MAX - len(self))))

    def alternative(self, value: Any) -> Problems:
        """A new list for the problems that an alternative finds in a value. Raises TooManyAlternatives."""
        if self.work is not None:
            self.work.spend(value)
        return Problems(self.work)


Check = Callable[[Any, Path, Problems], None]
"""Adds the problems of a value at a path."""


def invalid(path: Path, value: Any, rest: str) -> Problem:
    return Problem("Invalid", path, path, f"Invalid value: {show(value)}: {path_text(path)} in body {rest}")


def composite(path: Path, rest: str) -> Problem:
    return Problem("Invalid", path, NO_FIELD, f'Invalid value: "": {rest}')
