"""Regular expressions of tenants, on RE2: the syntax of Go's regexp, and matching in time linear in the text for every pattern.

The time is the length of the text times the size of the compiled pattern, and a pattern of seven characters (`.{1000}`) compiles
to thousands of instructions. So each pattern has a size, and the possible steps of a match (`Pattern.steps`) are charged or
refused before it runs. Compiled patterns are kept in one cache. Schemas keep only the text, because RE2's memory for a pattern
grows while it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import blake2b

import re2

from tenantry.base.cache import Cache
from tenantry.kube.go_text import quote

_MEMORY_BYTES, _LARGE_MEMORY_BYTES = 1 << 18, 1 << 20
"""The memory in bytes that RE2 may use for a pattern and its state cache: of an ordinary pattern, and of one above `_LARGE`. With
too little memory, matching becomes slower."""
_LARGE = 500
"""Patterns with more instructions than this get the larger memory."""
_KEPT_BYTES = 64 << 20
_KEY_LENGTH = 200
"""A longer pattern has its digest as cache key."""
_NESTED_MAX = 1000
"""Go's limit for nested groups and repetitions."""
SIZE_MAX = 20_000
"""The most instructions of a pattern. The time to compile it is proportional, also where RE2 refuses it in the end."""
_STEPS_PER_UNIT = 50
"""How many instructions one unit of CEL's cost pays for."""

_MATCH_UNITS = 20
"""Cost of each match that is found, in addition to the search."""
_SMALL = 100
"""So many instructions of a pattern are not counted as steps: they cost no more than reading the text."""

_GO_TEXTS = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "invalid UTF-8": "invalid UTF-8",
}
_GROUP_NAME = re.compile(r"\(\?P?<([^>]*)>")


class RegexError(ValueError):
    """A pattern that Go's regexp refuses; the text is Go's."""


class Pattern:
    """A compiled pattern. Matching is unanchored, as Go's."""

    __slots__ = ("_regexp", "memory_bytes", "size")

    def __init__(self, source: str) -> None:
        """Raises RegexError."""
        size = _size_in_go(source)
        options = re2.Options()
        options.log_errors = False
        options.max_mem = self.memory_bytes = _LARGE_MEMORY_BYTES if size > _LARGE else _MEMORY_BYTES
        options.never_capture = True
        try:
            self._regexp = re2.compile(source, options)
        except re2.error as error:
            raise RegexError(_go_text(error.args[0] if error.args else b"", source)) from None
        except UnicodeEncodeError:
            raise RegexError(f"error parsing regexp: invalid UTF-8: {_quoted(source)}") from None
        finally:
            # The module has its own cache of patterns, without a limit for their memory.
            re2.purge()
        self.size: int = max(1, self._regexp.programsize)

    def steps(self, text: str) -> int:
        """How many instructions a search in a text may execute, without the first `_SMALL` of the pattern."""
        return (len(text) + 1) * max(0, self.size - _SMALL)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in a text, as Go's MatchString."""
        # In bytes, as positions of characters are not wanted.
        return self._regexp.search(_encoded(text)) is not None

    def find(self, text: str) -> Iterator[tuple[int, str]]:
        """The matches from left to right, each with the position after it."""
        for match in self._regexp.finditer(_encoded(text).decode()):
            yield match.end(), match.group()


def _encoded(text: str) -> bytes:
    """The text in UTF-8, with U+FFFD in place of lone surrogates, which have no UTF-8. Go reads them as U+FFFD, too."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


_patterns: Cache[str | bytes, Pattern] = Cache("patterns", bytes_max=_KEPT_BYTES, size=lambda kept: kept.memory_bytes)


def pattern(source: str) -> Pattern:
    """The compiled pattern. Raises RegexError."""
    key = source if len(source) <= _KEY_LENGTH else blake2b(source.encode(errors="surrogatepass"), digest_size=32).digest()
    return _patterns.compute(key, lambda: Pattern(source))


def syntax_error(source: str) -> str | None:
    """The syntax error of a pattern with the text of Go's regexp, None where it is valid."""
    try:
        pattern(source)
    except RegexError as error:
        return str(error)
    return None


def search(source: str, text: str, charge: Callable[[float], None]) -> bool:
    """Whether a pattern matches anywhere in a text. `charge` is called with the cost before the search. Raises RegexError."""
    compiled = pattern(source)
    charge(compiled.steps(text) // _STEPS_PER_UNIT)
    return compiled.matches(text)


def find_all(source: str, text: str, limit: int, charge: Callable[[float], None]) -> list[str]:
    """The matches of a pattern in a text, from left to right; at most `limit` where that is not negative.

    Each search may read the whole rest of the text. Raises RegexError.
    """
    compiled = pattern(source)
    found: list[str] = []
    if limit == 0:
        return found
    charge(compiled.steps(text) // _STEPS_PER_UNIT)
    for end, match in compiled.find(text):
        found.append(match)
        if len(found) == limit:
            break
        charge(_MATCH_UNITS + (len(text) - end) / _STEPS_PER_UNIT)
    return found


# Where RE2 and Go differ -----------------------------------------------------------------------------------------------


_UNICODE_CLASS, _CLASS, _ANY = 800, 12, 8
"""Instructions of `\\pL`, of a class with ranges beyond ASCII, and of a dot."""
_REPEAT = re.compile(r"\{(\d{1,4})(?:,(\d{0,4}))?\}")


def _size_in_go(source: str) -> int:
    r"""About how many instructions a pattern compiles to.

    Raises RegexError for what RE2 accepts and Go does not (`\C`, names of groups that are not ASCII, deep nesting), and for
    patterns that are too large, before RE2 spends time on them.
    """
    wholes, lasts = [0], [0]
    deepest = position = 0
    while position < len(source):
        character = source[position]
        start = position
        position += 1
        if character == "(":
            wholes.append(0)
            lasts.append(0)
            deepest = max(deepest, len(wholes))
            name = _GROUP_NAME.match(source, start)
            if name is not None and not name.group(1).isascii():
                raise RegexError(f"error parsing regexp: invalid named capture: {_quoted(name.group())}")
            continue
        if character == ")" and len(wholes) > 1:
            weight = wholes.pop() + lasts.pop() + 2
        elif character == "{" and (repeat := _REPEAT.match(source, start)) is not None:
            position = repeat.end()
            lasts[-1] *= max(int(repeat.group(1)), int(repeat.group(2) or 0), 1)
            continue
        elif character in "*+?":
            lasts[-1] += 1
            continue
        elif character == "[":
            position, weight = _class(source, start)
        elif character == "\\":
            position, weight = _escape(source, start)
        else:
            weight = _ANY if character == "." or not character.isascii() else 2
        wholes[-1] += lasts[-1]
        lasts[-1] = weight
    if deepest >= _NESTED_MAX:
        raise RegexError(f"error parsing regexp: expression nests too deeply: {_quoted(source)}")
    size = sum(wholes) + sum(lasts)
    if size > SIZE_MAX:
        raise RegexError(_TOO_LARGE)
    return size


_TOO_LARGE = "error parsing regexp: expression too large"


def _escape(source: str, start: int) -> tuple[int, int]:
    """The position after an escape, and its size."""
    following = source[start + 1 : start + 2]
    if following == "C":
        raise RegexError("error parsing regexp: invalid escape sequence: `\\C`")
    if following == "Q":
        end = source.find("\\E", start)
        end = len(source) if end < 0 else end
        return end + 2, 2 * (end - start)
    return start + 2, _UNICODE_CLASS if following in ("p", "P") else 2


def _class(source: str, start: int) -> tuple[int, int]:
    """The position after a character class, and its size."""
    position = start + 1 + source.startswith("^", start + 1)
    # A bracket at the beginning is a literal.
    position += source.startswith("]", position)
    weight = _CLASS
    while position < len(source) and source[position] != "]":
        if source[position] == "\\":
            weight += _UNICODE_CLASS if source[position + 1 : position + 2] in ("p", "P") else 2
            position += 1
        elif source.startswith("[:", position) and (end := source.find(":]", position)) > 0:
            position = end + 1
        weight += 1 if source[position : position + 1].isascii() else _ANY
        position += 1
    return position + 1, weight


def _go_text(error: bytes | str, source: str) -> str:
    text = error.decode(errors="replace") if isinstance(error, bytes) else error
    if text.startswith("trailing \\"):
        return "error parsing regexp: trailing backslash at end of expression: ``"
    if text.startswith("pattern too large"):
        return _TOO_LARGE
    kind, colon, culprit = text.partition(": ")
    kind = _GO_TEXTS.get(kind, kind)
    # Go shows the whole expression where a group is not closed.
    if kind in ("missing closing )", "unexpected )"):
        culprit = source
    return f"error parsing regexp: {kind}: {_quoted(culprit)}" if colon else f"error parsing regexp: {kind}"


def _quoted(text: str) -> str:
    """A text between backquotes, as Go quotes it."""
    return f"`{text}`" if "`" not in text else quote(text)
