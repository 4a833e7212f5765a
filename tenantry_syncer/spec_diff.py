"""JSON patches (RFC 6902) of annotations, within bounds: the patch is a tenant's, and every shard applies it for each event."""

from __future__ import annotations

import copy
import json
from typing import Any

TEXT_MAX = 64 << 10
"""Characters of a patch."""
OPERATIONS_MAX = 100
VALUES_MAX = 100_000
"""Values that all copies of a patch may make together: each `copy` could double the document."""


class BadPatch(Exception):
    """A patch cannot be applied. The text says why."""


def patched(document: Any, text: str) -> Any:
    """The document after a patch, which shares with the old one what does not change. Raises BadPatch."""
    if len(text) > TEXT_MAX:
        raise BadPatch(f"it is longer than {TEXT_MAX} characters")
    try:
        operations = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPatch(f"it is not JSON: {error}") from error
    if not isinstance(operations, list) or len(operations) > OPERATIONS_MAX:
        raise BadPatch(f"it is not a list of at most {OPERATIONS_MAX} operations")
    budget = VALUES_MAX
    for number, operation in enumerate(operations):
        try:
            document, budget = _apply(document, operation, budget)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise BadPatch(f"operation {number} cannot be applied: {type(error).__name__}: {error}") from error
    return document


def _apply(document: Any, operation: Any, budget: int) -> tuple[Any, int]:
    kind, path = operation["op"], _parse(operation["path"])
    if kind == "add":
        return _added(document, path, operation["value"]), budget
    if kind == "replace":
        return _replaced(document, path, operation["value"]), budget
    if kind == "remove":
        return _removed(document, path), budget
    if kind == "test":
        if not _equal(_find(document, path), operation["value"]):
            raise ValueError("the test fails")
        return document, budget
    source = _parse(operation["from"])
    value = _find(document, source)
    if kind == "move":
        if path[: len(source)] == source and path != source:
            raise ValueError("a value cannot be moved into itself")
        return _added(_removed(document, source), path, value), budget
    if kind == "copy":
        budget -= _size(value)
        if budget < 0:
            raise ValueError("copies are too large")
        return _added(document, path, value), budget
    raise ValueError(f"unknown operation {kind!r}")


def _parse(pointer: Any) -> list[str]:
    if pointer == "":
        return []
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _find(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[_index(document, part)]
    return document


def _copied(document: Any, path: list[str]) -> tuple[Any, Any]:
    """(the document, the parent of a path), where all that leads there is a copy that may be changed."""
    root = parent = copy.copy(document)
    for part in path[:-1]:
        index = _index(parent, part)
        parent[index] = child = copy.copy(parent[index])
        parent = child
    return root, parent


def _added(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    root, parent = _copied(document, path)
    if isinstance(parent, list):
        index = len(parent) if path[-1] == "-" else _number(path[-1])
        if index > len(parent):
            raise IndexError(path[-1])
        parent.insert(index, value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise TypeError("the parent is no object and no list")
    return root


def _replaced(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    root, parent = _copied(document, path)
    index = _index(parent, path[-1])
    parent[index]  # it has to be there
    parent[index] = value
    return root


def _removed(document: Any, path: list[str]) -> Any:
    if not path:
        raise ValueError("the whole document cannot be removed")
    root, parent = _copied(document, path)
    del parent[_index(parent, path[-1])]
    return root


def _index(parent: Any, part: str) -> Any:
    if isinstance(parent, list):
        return _number(part)
    if isinstance(parent, dict):
        return part
    raise TypeError("the parent is no object and no list")


def _number(part: str) -> int:
    if not part.isascii() or not part.isdigit() or (len(part) > 1 and part[0] == "0"):
        raise ValueError(f"{part!r} is not an index")
    return int(part)


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1
