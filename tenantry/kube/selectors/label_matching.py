"""Compiles the requirements of a label selector to one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tenantry.kube.selectors.requirements import Requirement, integer

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]

_FEW = 8
"""Up to this number, requirements are checked one after the other. More are grouped by key, so that the time does not grow with
the number of requirements times that of objects."""


def _always(labels: Labels) -> bool:
    return True


def compile_requirements(requirements: Sequence[Requirement]) -> Predicate:
    if len(requirements) > _FEW:
        return _by_key(requirements)
    predicates = [_predicate(r) for r in requirements]
    if not predicates:
        return _always
    if len(predicates) == 1:
        return predicates[0]
    if len(predicates) == 2:
        first, second = predicates
        return lambda labels: first(labels) and second(labels)
    return lambda labels: all(predicate(labels) for predicate in predicates)


class _Key:
    """All requirements on one key: allowed values, excluded values, and whether the key must exist."""

    __slots__ = ("absent", "allowed", "greater", "less", "present", "refused")

    def __init__(self) -> None:
        self.allowed: set[str] | None = None
        self.refused: set[str] = set()
        self.present = self.absent = False
        self.greater: int | None = None
        self.less: int | None = None

    def add(self, requirement: Requirement) -> None:
        _, operator, values = requirement
        match operator:
            case "!=" | "notin":
                self.refused.update(values)
            case "!":
                self.absent = True
            case "exists":
                self.present = True
            case "gt":
                self.greater = int(values[0]) if self.greater is None else max(self.greater, int(values[0]))
                self.present = True
            case "lt":
                self.less = int(values[0]) if self.less is None else min(self.less, int(values[0]))
                self.present = True
            case _:
                self.allowed = set(values) if self.allowed is None else self.allowed.intersection(values)
                self.present = True

    def holds(self, value: str) -> bool:
        """Whether this value is allowed."""
        if self.absent or value in self.refused or (self.allowed is not None and value not in self.allowed):
            return False
        if self.greater is None and self.less is None:
            return True
        number = integer(value)
        if number is None:
            return False
        return (self.greater is None or number > self.greater) and (self.less is None or number < self.less)


def _by_key(requirements: Sequence[Requirement]) -> Predicate:
    """Checks each label of an object once, and each key that must exist."""
    keys: dict[str, _Key] = {}
    for each in requirements:
        keys.setdefault(each.key, _Key()).add(each)
    needed = frozenset(key for key, wanted in keys.items() if wanted.present)
    find = keys.get

    def matches(labels: Labels) -> bool:
        if len(needed) > len(labels) or not needed <= labels.keys():
            return False
        for key, value in labels.items():
            wanted = find(key)
            if wanted is not None and not wanted.holds(value):
                return False
        return True

    return matches


def _predicate(requirement: Requirement) -> Predicate:
    key, operator, values = requirement
    match operator:
        case "=" | "==":
            value = values[0]
            return lambda labels: labels.get(key) == value
        case "!=":
            value = values[0]
            return lambda labels: labels.get(key) != value
        case "in":
            allowed = frozenset(values)
            return lambda labels: labels.get(key) in allowed
        case "notin":
            refused = frozenset(values)
            return lambda labels: labels.get(key) not in refused
        case "exists":
            return lambda labels: key in labels
        case "!":
            return lambda labels: key not in labels
        case _:
            return _comparison(key, greater=operator == "gt", bound=int(values[0]))


def _comparison(key: str, *, greater: bool, bound: int) -> Predicate:
    def compare(labels: Labels) -> bool:
        number = integer(labels.get(key, ""))
        if number is None:
            return False
        return number > bound if greater else number < bound

    return compare
