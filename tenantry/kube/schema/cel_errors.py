"""The errors of CEL: of expressions that do not compile, with cel-go's texts and places, and of evaluations."""

from __future__ import annotations

import re
from typing import NamedTuple

_SNIPPET_MAX = 16384
_NARROW, _WIDE = re.compile(r"[\x00-\x7f]"), re.compile(r"[^\x00-\x7f]")


class CelError(Exception):
    """A rule that does not compile, or fails while it is evaluated. The text is cel-go's."""


class NoOverload(CelError):
    """A function that does not exist for values of these types."""

    def __init__(self, text: str = "no such overload") -> None:
        super().__init__(text)


NOWHERE = -2
"""The place of what is missing from an expression."""


class Issue(NamedTuple):
    """What is wrong at a place of an expression. `offset` in characters; -1 where it is about the whole, or NOWHERE."""

    offset: int
    text: str


class CompileErrors:
    """The issues of one expression, with cel-go's limit of 100."""

    LIMIT = 100

    def __init__(self, source: str) -> None:
        self._source = source
        self.issues: list[Issue] = []
        self.truncated = 0

    def add(self, offset: int, text: str) -> None:
        if len(self.issues) < self.LIMIT:
            self.issues.append(Issue(offset, text))
        elif not self.truncated or not text.startswith("Syntax error"):
            # cel-go's parser stops at the first syntax error that is too many.
            self.truncated += 1

    def end(self) -> None:
        """Raises CelError if there are issues."""
        if self.issues:
            shown = [_shown(self._source, issue) for issue in sorted(self.issues, key=_order)]
            more = [f"{self.truncated} more errors were truncated"] if self.truncated else []
            raise CelError("\n".join(shown + more))


def _order(issue: Issue) -> tuple[bool, int]:
    return issue.offset != -1, issue.offset


def _shown(source: str, issue: Issue) -> str:
    """An issue with the line where it is, and a mark below the place. Wide characters have wide marks."""
    if issue.offset == -1:
        return f"ERROR: <input>:-1:0: {issue.text}"
    before = source[: max(issue.offset, 0)]
    line = before.count("\n") + 1
    column = -1 if issue.offset == NOWHERE else issue.offset - (before.rfind("\n") + 1)
    text = f"ERROR: <input>:{line}:{column + 1}: {issue.text}"
    snippet = source.split("\n", line)[line - 1].replace("\t", " ")
    if len(snippet) > _SNIPPET_MAX:
        return text
    place = max(column, 0)
    dots = _WIDE.sub("\uff0e", _NARROW.sub(".", snippet[:place]))
    here = snippet[place : place + 1]
    return f"{text}\n | {snippet}\n | {dots}{'^' if here.isascii() else chr(0xFF3E)}"
