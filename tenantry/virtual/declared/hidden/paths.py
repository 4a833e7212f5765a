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


def below(paths: Paths) -> Mapping[str, Paths]:
    """The names with which paths may go on in an object, each with the rests of the paths below it."""
    found: dict[str, list[HiddenPath]] = {}
    for path in paths:
        for length in range(1, len(path) + 1):
            found.setdefault(".".join(path[:length]), []).append(path[length:])
    return found


def remove(value: Any, paths: Paths) -> None:
    """Removes hidden fields from a JSON value, in place."""
    # Asked of every object that is read, so it makes no table of names.
    for path in paths:
        waiting = [(value, path)]
        while waiting:
            each, rest = waiting.pop()
            if isinstance(each, list):
                waiting.extend((item, rest) for item in each)
            elif isinstance(each, dict):
                each.pop(".".join(rest), None)
                for length in range(1, len(rest)):
                    inner = each.get(".".join(rest[:length]))
                    if inner is not None:
                        waiting.append((inner, rest[length:]))


def found(value: Any, paths: Paths, at: str = "") -> Iterator[str]:
    """The places of the hidden fields that a value has, as errors name them: `spec.users[0].password`, `data[tls.key]`."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from found(item, paths, f"{at}[{number}]")
    elif isinstance(value, dict):
        for name, rests in below(paths).items():
            if name not in value:
                continue
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
