"""Label selectors: their text form (`a=b,c in (d,e),!f`), their object form (metav1.LabelSelector) and matching.

The grammar and the error texts are those of k8s.io/apimachinery/pkg/labels, because clients print them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tenantry.base.cache import cached
from tenantry.kube import names
from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.status import cut

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]

_BINARY = ("in", "notin", "=", "==", "!=", "gt", "lt")
_SYMBOLS = {"(", ")", ",", "!", "=", "==", "!=", ">", "<"}
_BLANKS = " \t\r\n"
_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[()!,=<>])|([^ \t\r\n()!,=<>]+))")
_ERRORS_MAX, _SHOWN = 100, 2048
"""How much an error text shows: errors, and characters of a value."""
_INTEGER = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)
_END = ""


class Requirement(NamedTuple):
    """One condition. `operator` is one of =, ==, !=, in, notin, exists, !, gt, lt; `values` are sorted and distinct."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        key, operator, values = self
        if operator == "exists":
            return key
        if operator == "!":
            return f"!{key}"
        if operator in ("in", "notin"):
            return f"{key} {operator} ({','.join(values)})"
        symbol = {"gt": ">", "lt": "<"}.get(operator, operator)
        return f"{key}{symbol}{values[0]}"


class LabelSelector:
    """A conjunction of requirements. Immutable, and ordered by key as upstream prints them.

    `nothing` marks the selector that matches no object (a null metav1.LabelSelector).
    """

    __slots__ = ("is_everything", "matches", "nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement], *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self.nothing = nothing
        self.is_everything = not self.requirements and not nothing
        self.matches: Predicate = _never if nothing else _compile(self.requirements)
        """Whether the labels satisfy every requirement."""

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)

    def __repr__(self) -> str:
        return f"LabelSelector({'nothing' if self.nothing else str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSelector) and self.requirements == other.requirements and self.nothing == other.nothing

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


def _always(labels: Labels) -> bool:
    return True


def _never(labels: Labels) -> bool:
    return False


def _compile(requirements: Sequence[Requirement]) -> Predicate:
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


_FEW = 8
"""Up to so many requirements are checked one after the other. More are grouped by key, so that the time does not grow with the
number of requirements times that of objects."""


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
        number = _integer(value)
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
        number = _integer(labels.get(key, ""))
        if number is None:
            return False
        return number > bound if greater else number < bound

    return compare


def _integer(text: str) -> int | None:
    """A 64-bit integer as Go's strconv.ParseInt parses it, None where it is refused."""
    if len(text) > 20 or not _INTEGER.match(text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """A validated requirement.

    Raises ValueError with upstream's text for an invalid key, number of values or value.
    """
    texts = tuple(sorted(set(values)))
    if _is_simple(key, operator, texts):
        return Requirement(key, operator, texts)
    errors = [f"key: {error}" for error in _invalid(key, names.qualified_name_errors(key))]
    shown = "[" + ",".join(quote(cut(t, _SHOWN)) for t in texts[:_ERRORS_MAX]) + "]" if texts else "null"
    match operator:
        case "in" | "notin" if not texts:
            errors.append(f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty")
        case "=" | "==" | "!=" if len(texts) != 1:
            errors.append(f"values: Invalid value: {shown}: exact-match compatibility requires one single value")
        case "exists" | "!" if texts:
            errors.append(f"values: Invalid value: {shown}: values set must be empty for exists and does not exist")
        case "gt" | "lt":
            if len(texts) != 1:
                errors.append(f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required")
            errors += [
                f"values[{i}]: Invalid value: {quote(cut(t, _SHOWN))}: for 'Gt', 'Lt' operators, the value must be an integer"
                for i, t in enumerate(texts[:_ERRORS_MAX])
                if _integer(t) is None
            ]
    for i, text in enumerate(texts):
        if len(errors) >= _ERRORS_MAX:
            break
        errors += [f"values[{i}][{cut(key, _SHOWN)}]: {error}" for error in _invalid(text, names.label_value_errors(text))]
    if errors:
        raise ValueError(errors[0] if len(errors) == 1 else "[" + ", ".join(errors) + "]")
    return Requirement(key, operator, texts)


def _is_simple(key: str, operator: str, texts: Sequence[str]) -> bool:
    """A fast check whether a requirement with a common operator is valid. A selector may have thousands of them."""
    match operator:
        case "exists" | "!":
            counted = not texts
        case "=" | "==" | "!=":
            counted = len(texts) == 1
        case "in" | "notin":
            counted = bool(texts)
        case _:
            return False
    return counted and not names.qualified_name_errors(key) and not any(map(names.label_value_errors, texts))


def _invalid(value: str, errors: Sequence[str]) -> list[str]:
    return [f"Invalid value: {quote(cut(value, _SHOWN))}: {'; '.join(errors)}"] if errors else []


class _Parser:
    """Recursive descent over the tokens. `in` and `notin` are operators only where an operator is expected."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = [symbol or word for symbol, word in _TOKEN.findall(text.rstrip(_BLANKS))]
        # The end token may be consumed in place of a missing word or symbol, and read again afterwards.
        self.tokens += (_END, _END, _END)
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position]

    def take(self) -> str:
        position = self.position
        self.position = position + 1
        return self.tokens[position]

    def parse(self) -> list[Requirement]:
        out: list[Requirement] = []
        while True:
            token = self.peek()
            if token == _END:
                return out
            if token in _SYMBOLS and token != "!":
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                out.append(self.requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self.take()
            if token == _END:
                return out
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            token = self.peek()
            if not _is_word(token) and token != "!":
                raise ValueError(f"found '{token}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        key = self.take()
        negated = key == "!"
        if negated:
            key = self.take()
        if not _is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        if errors := _invalid(key, names.qualified_name_errors(key)):
            raise ValueError(f"<nil>: {errors[0]}")
        if negated:
            return requirement(key, "!")
        if self.peek() in (_END, ","):
            return requirement(key, "exists")
        operator = self.operator()
        values = self.values() if operator in ("in", "notin") else [self.value()]
        return requirement(key, operator, values)

    def operator(self) -> str:
        token = self.take()
        if token in ("in", "notin", "=", "==", "!="):
            return token
        if token == ">":
            return "gt"
        if token == "<":
            return "lt"
        raise ValueError(f"found '{token}', expected: {', '.join(_BINARY)}")

    def value(self) -> str:
        if self.peek() in (_END, ","):
            return ""
        token = self.take()
        if not _is_word(token):
            raise ValueError(f"found '{token}', expected: identifier")
        return token

    def values(self) -> list[str]:
        token = self.take()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        token = self.peek()
        if token == ")":
            self.take()
            return [""]
        if not _is_word(token) and token != ",":
            raise ValueError(f"found '{token}', expected: ',', ')' or identifier")
        values = self.identifiers()
        self.take()
        return values

    def identifiers(self) -> list[str]:
        """The list up to its closing parenthesis. Nothing between two commas is the empty value."""
        out: list[str] = []
        while True:
            token = self.take()
            if _is_word(token):
                out.append(token)
                following = self.peek()
                if following == ")":
                    return out
                if following != ",":
                    raise ValueError(f"found '{following}', expected: ',' or ')'")
            elif token == ",":
                if not out:
                    out.append("")
                following = self.peek()
                if following == ")":
                    out.append("")
                    return out
                if following == ",":
                    self.take()
                    out.append("")
            else:
                raise ValueError(f"found '{token}', expected: ',', or identifier")


def _is_word(token: str) -> bool:
    return token != _END and token not in _SYMBOLS


@cached("label_selectors", bytes_max=2 << 20)
def parse(text: str) -> LabelSelector:
    """The selector of a `labelSelector` query parameter. Raises ValueError with upstream's text."""
    return LabelSelector(_Parser(text).parse())


EVERYTHING = LabelSelector(())
NOTHING = LabelSelector((), nothing=True)

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_object(label_selector: Object | None) -> LabelSelector:
    """The selector of a metav1.LabelSelector: null selects nothing, an empty one everything.

    Raises ValueError with upstream's text for an unknown operator or a bad key or value.
    """
    if label_selector is None:
        return NOTHING
    labels: Mapping[str, str] = label_selector.get("matchLabels") or {}
    expressions: Sequence[Mapping[str, Any]] = label_selector.get("matchExpressions") or ()
    out = [requirement(key, "=", (value,)) for key, value in labels.items()]
    for expression in expressions:
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise ValueError(f"{quote(expression.get('operator', ''))} is not a valid label selector operator")
        out.append(requirement(expression.get("key", ""), operator, expression.get("values") or ()))
    return LabelSelector(out) if out else EVERYTHING
