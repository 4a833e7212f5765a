"""Where hidden fields are in a JSON value.

A path is a tuple of the parts between the dots of `spec.hiddenFields`. Lists on the way do not count: a path goes on in each of
their items. A name in a value may have dots itself (`tls.key` in the data of a Secret), so several parts may be one name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HiddenPath = tuple[str, ...]
Paths = Sequence[HiddenPath]
HERE: HiddenPath = ()
"""Among the rests of paths below a name: what has the name is hidden itself."""

_SHORT = 8
"""Parts of a path that are put together to names sooner than the members of an object are looked at."""


def steps(members: Mapping[str, Any], path: HiddenPath) -> Iterator[tuple[str, HiddenPath]]:
    """The names with which a path goes on among the members of an object, each with the rest of the path below it. It costs as
    much as the path has parts, or as there are members: a tenant may make either many."""
    if len(path) <= len(members):
        for length in range(1, len(path) + 1):
            name = ".".join(path[:length])
            if name in members:
                yield name, path[length:]
        return
    for name in tuple(members):
        parts = tuple(name.split("."))
        if path[: len(parts)] == parts:
            yield name, path[len(parts) :]


def below(members: Mapping[str, Any], paths: Paths) -> Mapping[str, Paths]:
    """The same for several paths: each name with the rests of those that go on with it."""
    found: dict[str, list[HiddenPath]] = {}
    for path in paths:
        for name, rest in steps(members, path):
            found.setdefault(name, []).append(rest)
    return found


def remove(value: Any, paths: Paths) -> None:
    """Removes hidden fields from a JSON value, in place."""
    # Every object that is read comes here, so that short paths are followed without a call.
    for path in paths:
        waiting = [(value, path)]
        while waiting:
            each, rest = waiting.pop()
            if isinstance(each, list):
                waiting.extend((item, rest) for item in each)
            elif not isinstance(each, dict):
                continue
            elif len(rest) <= _SHORT:
                each.pop(".".join(rest), None)
                for length in range(1, len(rest)):
                    inner = each.get(".".join(rest[:length]))
                    if inner is not None:
                        waiting.append((inner, rest[length:]))
            else:
                for name, left in [*steps(each, rest)]:
                    if left:
                        waiting.append((each[name], left))
                    else:
                        del each[name]


def found(value: Any, paths: Paths, at: str = "") -> Iterator[str]:
    """The places of the hidden fields that a value has, as errors name them: `spec.users[0].password`, `data[tls.key]`."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from found(item, paths, f"{at}[{number}]")
    elif isinstance(value, dict):
        for name, rests in below(value, paths).items():
            if HERE in rests:
                yield place(at, name)
            else:
                yield from found(value[name], rests, place(at, name))


def has_any(value: Any, paths: Paths) -> bool:
    return next(found(value, paths), None) is not None


def place(at: str, name: str) -> str:
    """The place of a member of an object."""
    if "." in name:
        return f"{at}[{name}]"
    return f"{at}.{name}" if at else name
