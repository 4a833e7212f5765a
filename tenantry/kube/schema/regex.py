"""Regular expressions with the meaning and the safety of Go's regexp (RE2), for patterns that tenants write.

Python's engine is fast for short values and simple patterns but can need exponential time for hostile ones. A pattern
runs on it only where its cost is known to be small; everything else goes to RE2, which CEL's `matches` brings along.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from tenantry.kube.go_text import quote

_STEPS = 200_000
"""How many steps Python's engine may take for one value; about a millisecond."""

# What Python and RE2 read alike: classes, groups, quantifiers, anchors and these escapes.
_PORTABLE_ESCAPES = frozenset("dwDW.-/+*?()[]{}^$|\\_:@#,=!%&~ \"'<>;")
_GO_TEXTS = (
    ("missing ]", "missing closing ]"),
    ("missing )", "missing closing )"),
    ("no argument for repetition operator", "missing argument to repetition operator"),
    ("bad repetition operator", "invalid nested repetition operator"),
    ("invalid repetition size", "invalid repeat count"),
    ("invalid perl operator", "invalid or unsupported Perl syntax"),
    ("invalid named capture group", "invalid named capture"),
)


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    return cel.NewEnv(variables={"value": cel.Type.STRING})


@lru_cache(maxsize=4096)
def syntax_error(pattern: str) -> str | None:
    """What is wrong with a pattern in the words of Go's regexp, None where it is fine."""
    result = _re2(pattern).eval(data={"value": ""})
    if result.type() != cel.Type.ERROR:
        return None
    text = str(result.value()).partition("invalid regular expression: ")[2]
    if text.startswith("trailing \\"):
        return "error parsing regexp: trailing backslash at end of expression: ``"
    kind, colon, culprit = text.partition(": ")
    for theirs, ours in _GO_TEXTS:
        if kind == theirs:
            kind = ours
    return f"error parsing regexp: {kind}: `{culprit}`" if colon else f"error parsing regexp: {kind}"


def _re2(pattern: str) -> cel.Expression:
    return _environment().compile(f"value.matches({cel_string(pattern)})")


def cel_string(text: str) -> str:
    """A CEL string literal."""
    return quote(text)


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether the pattern matches somewhere in a text (unanchored, as Go's MatchString)."""
    expression: list[cel.Expression] = []

    def by_re2(text: str) -> bool:
        if not expression:
            expression.append(_re2(pattern))
        return expression[0].eval(data={"value": text}).value() is True

    portable = _portable(pattern)
    degree = _degree(portable) if portable is not None else None
    if portable is None or degree is None:
        return by_re2
    limit = int(_STEPS ** (1 / max(degree, 1)))
    search = re.compile(portable, re.ASCII).search

    def by_python(text: str) -> bool:
        return search(text) is not None if len(text) <= limit else by_re2(text)

    return by_python


def _portable(pattern: str) -> str | None:
    """The pattern for Python's engine, None where the two engines may read it differently."""
    out: list[str] = []
    index, in_class = 0, False
    while index < len(pattern):
        character = pattern[index]
        if character == "\\":
            escaped = pattern[index + 1 : index + 2]
            if escaped not in _PORTABLE_ESCAPES or not escaped:
                return None
            out.append(character + escaped)
            index += 2
            continue
        if in_class:
            in_class = character != "]"
            if character == "[" or (character in "&|~-" and pattern[index + 1 : index + 2] == character):
                return None
        elif character == "[":
            in_class = True
            if pattern[index + 1 : index + 2] == "]" or pattern[index + 1 : index + 3] == "^]":
                return None
        elif character == "(" and pattern[index + 1 : index + 2] == "?" and pattern[index + 2 : index + 3] != ":":
            return None
        elif character == "$":
            # Go's $ is the end of the text, Python's also stands before a last line break.
            character = r"\Z"
        elif character in "*+?}" and pattern[index + 1 : index + 2] == "+":
            return None
        out.append(character)
        index += 1
    return "".join(out)


def _degree(pattern: str) -> int | None:
    """The exponent of the cost of a failing search, None where it may be exponential or the pattern is broken."""
    from re import _parser  # type: ignore[attr-defined]  # the only parser of patterns in the standard library

    try:
        tree = _parser.parse(pattern, re.ASCII)
    except (re.error, OverflowError, RecursionError):
        return None
    degree = _repeats(list(tree), inside=False)
    if degree is None:
        return None
    anchored = pattern.startswith("^") and "|" not in pattern
    return degree + (0 if anchored else 1)


def _repeats(items: list[tuple[Any, Any]], *, inside: bool) -> int | None:
    total = 0
    for operator, argument in items:
        name = str(operator)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, body = argument
            varies = int(high) > 1 and low != high
            if varies and inside:
                return None
            inner = _repeats(list(body), inside=inside or int(high) > 1)
            if inner is None:
                return None
            total += inner + varies
        elif name == "SUBPATTERN":
            inner = _repeats(list(argument[3]), inside=inside)
            if inner is None:
                return None
            total += inner
        elif name == "BRANCH":
            if inside:
                return None
            branches = [_repeats(list(b), inside=inside) for b in argument[1]]
            if None in branches:
                return None
            total += sum(b or 0 for b in branches)
        elif name not in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "RANGE"):
            return None
    return total


def find_all(pattern: str, text: str, limit: int) -> list[str]:
    """What a pattern matches in a text, from left to right; at most `limit` of it where that is not negative.

    Raises ValueError where the pattern is broken, or would need RE2, which offers no search from here.
    """
    broken = syntax_error(pattern)
    if broken:
        raise ValueError(broken)
    portable = _portable(pattern)
    degree = _degree(portable) if portable is not None else None
    if portable is None or degree is None or len(text) > int(_STEPS ** (1 / max(degree, 1))):
        raise ValueError(f"the search for {quote(pattern)} is too expensive")
    found: list[str] = []
    for match in re.compile(portable, re.ASCII).finditer(text):
        if len(found) == limit:
            break
        found.append(match.group())
    return found
