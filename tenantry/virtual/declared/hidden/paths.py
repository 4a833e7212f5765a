"""Where hidden fields are in a JSON value.

A path is a tuple of the parts between the dots of `spec.hiddenFields`. Lists on the way do not count: a path goes on in each of
their items. A name in a value may have dots itself (`tls.key` in the data of a Secret), so several parts may be one name.

The paths of a view are one tree, so that a value is walked through once, however many and long they are: a tenant may make either
many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HiddenPath = tuple[str, ...]
HERE: HiddenPath = ()
"""Among the paths below a name: what has the name is hidden itself."""

_FEW = 8
"""So many names are looked up in an object sooner than its members are looked at."""


class Hidden:
    """The hidden fields below one place. `here`: whether the place itself is hidden. Equal for equal paths. What is below is made
    when a value goes there."""

    __slots__ = ("_below", "_depth", "_names", "_paths", "here")

    def __init__(self, paths: Sequence[HiddenPath], depth: int = 0) -> None:
        """`depth`: how many parts of each path lead to this place."""
        self.here = any(len(path) == depth for path in paths)
        self._paths = tuple(path for path in paths if len(path) > depth)
        self._depth = depth
        self._below: dict[str, Hidden] | None = None
        self._names: tuple[tuple[str, Hidden], ...] | None = None

    def __contains__(self, path: HiddenPath) -> bool:
        return path == HERE and self.here

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and (self._paths, self._depth, self.here) == (other._paths, other._depth, other.here)

    def __hash__(self) -> int:
        return hash(self._paths)

    @property
    def is_empty(self) -> bool:
        return not self._paths and not self.here

    @property
    def goes_deeper(self) -> bool:
        """Whether something is hidden below a member, too."""
        return any(len(path) > self._depth + 1 for path in self._paths)

    def of(self, name: str) -> Hidden | None:
        """What is hidden below a member; None for nothing."""
        place, start = self, 0
        while True:
            end = name.find(".", start)
            found = place._children().get(name[start:end] if end >= 0 else name[start:] if start else name)
            if found is None or end < 0:
                return found
            place, start = found, end + 1

    def among(self, members: Mapping[str, Any]) -> Sequence[tuple[str, Hidden]]:
        """The members of an object that are hidden, or in which something may be."""
        few = self._few_names()
        if few is not None and len(few) <= len(members):
            return [each for each in few if each[0] in members]
        children = self._children()
        return [
            (name, found) for name in members if (found := children.get(name) if "." not in name else self.of(name)) is not None
        ]

    def _children(self) -> dict[str, Hidden]:
        made = self._below
        if made is None:
            groups: dict[str, list[HiddenPath]] = {}
            for path in self._paths:
                groups.setdefault(path[self._depth], []).append(path)
            made = self._below = {part: Hidden(paths, self._depth + 1) for part, paths in groups.items()}
        return made

    def _few_names(self) -> tuple[tuple[str, Hidden], ...] | None:
        """All names that may be hidden or lead there, if these are few."""
        if self._names is None and sum(len(path) - self._depth for path in self._paths) <= _FEW:
            self._names = tuple(self._all_names(""))
        return self._names

    def _all_names(self, before: str) -> Iterator[tuple[str, Hidden]]:
        for part, below_it in self._children().items():
            yield before + part, below_it
            yield from below_it._all_names(f"{before}{part}.")


Paths = Sequence[HiddenPath] | Hidden


def tree(paths: Paths) -> Hidden:
    return paths if isinstance(paths, Hidden) else Hidden(paths)


def below(members: Mapping[str, Any], paths: Paths) -> Mapping[str, Hidden]:
    """The members of an object that are hidden, or in which something may be, each with what is hidden below it."""
    return dict(tree(paths).among(members))


def remove(value: Any, paths: Paths) -> None:
    """Removes hidden fields from a JSON value, in place."""
    waiting = [(value, tree(paths))]
    while waiting:
        each, hidden = waiting.pop()
        if isinstance(each, list):
            waiting.extend((item, hidden) for item in each)
        elif isinstance(each, dict):
            for name, inner in hidden.among(each):
                if inner.here:
                    del each[name]
                else:
                    waiting.append((each[name], inner))


def found(value: Any, paths: Paths, at: str = "") -> Iterator[str]:
    """The places of the hidden fields that a value has, as errors name them: `spec.users[0].password`, `data[tls.key]`."""
    # What a client sends may be nested more deeply than functions may call each other.
    waiting = [(value, tree(paths), at)]
    while waiting:
        each, hidden, here = waiting.pop()
        if hidden.here:
            yield here
        elif isinstance(each, list):
            waiting.extend((item, hidden, f"{here}[{number}]") for number, item in reversed([*enumerate(each)]))
        elif isinstance(each, dict):
            waiting.extend((each[name], inner, place(here, name)) for name, inner in reversed(hidden.among(each)))


def has_any(value: Any, paths: Paths) -> bool:
    """Whether a value has a hidden field."""
    waiting = [(value, tree(paths))]
    while waiting:
        each, hidden = waiting.pop()
        if isinstance(each, list):
            waiting.extend((item, hidden) for item in each)
        elif isinstance(each, dict):
            for name, inner in hidden.among(each):
                if inner.here:
                    return True
                waiting.append((each[name], inner))
    return False


def holders(value: Any, paths: Paths) -> set[int]:
    """The ids of the objects and lists in a value in which something is hidden, itself included."""
    found_in: set[int] = set()
    _note_holders(value, tree(paths), found_in)
    return found_in


def _note_holders(value: Any, hidden: Hidden, found_in: set[int]) -> bool:
    holds = False
    if isinstance(value, list):
        for item in value:
            holds = _note_holders(item, hidden, found_in) or holds
    elif isinstance(value, dict):
        for name, inner in hidden.among(value):
            holds = inner.here or _note_holders(value[name], inner, found_in) or holds
    if holds:
        found_in.add(id(value))
    return holds


def place(at: str, name: str) -> str:
    """The place of a member of an object."""
    if "." in name:
        return f"{at}[{name}]"
    return f"{at}.{name}" if at else name
