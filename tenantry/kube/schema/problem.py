"""A failure of validation before its texts are joined."""

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
    """`kind` is that of FieldError. `node` is the value that breaks the rule (ratcheting looks at it), `field` the place
    that is named, NO_FIELD where none is."""

    kind: str
    node: Path
    field: Path | str
    text: str


class TooManyAlternatives(Exception):
    """A schema asks more of an object than may be tried."""


class TooMuchMatching(Exception):
    """The patterns of a schema are too large for the texts of an object."""


class Work:
    """What an object may cost beside one walk over it.

    Matching large patterns (`regex.Pattern.steps`): `STEPS` for all of it together. Trying the alternatives of a schema (allOf,
    anyOf, oneOf, not): each goes through the whole value again, and alternatives hold alternatives. A few times what the object
    is, or as much as is quickly done."""

    __slots__ = ("_left", "_root", "_sizes", "_steps")

    TIMES, AT_LEAST = 20, 100_000
    STEPS = 4_000_000

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left: int | None = None
        self._sizes: dict[int, int] = {}
        self._steps = self.STEPS

    def match(self, steps: int) -> None:
        """Before a pattern is matched that may take so many steps. Raises TooMuchMatching."""
        self._steps -= steps
        if self._steps < 0:
            raise TooMuchMatching

    def spend(self, value: Any) -> None:
        """Before an alternative is tried on a value. Raises TooManyAlternatives."""
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
    """As many problems as an answer tells. `is_ratcheted` says of which ones nothing is said."""

    def __init__(self, work: Work | None = None, is_ratcheted: Callable[[Problem], bool] | None = None) -> None:
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
        """Also those that would be ratcheted."""
        super().extend(islice(problems, max(0, CAUSES_MAX - len(self))))

    def alternative(self, value: Any) -> Problems:
        """Where an alternative says what it finds in a value. Raises TooManyAlternatives."""
        if self.work is not None:
            self.work.spend(value)
        return Problems(self.work)


Check = Callable[[Any, Path, Problems], None]
"""Adds what is wrong with a value at a path."""


def invalid(path: Path, value: Any, rest: str) -> Problem:
    return Problem("Invalid", path, path, f"Invalid value: {show_value(value)}: {path_text(path)} in body {rest}")


def composite(path: Path, rest: str) -> Problem:
    return Problem("Invalid", path, NO_FIELD, f'Invalid value: "": {rest}')


def show_value(value: Any) -> str:
    """Numbers as Go prints float64, everything else as in field.Error."""
    if type(value) is float and value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return show(value)
