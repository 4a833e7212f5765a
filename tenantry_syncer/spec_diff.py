"""JSON patches (RFC 6902) of annotations, within bounds: the patch is a tenant's, and every shard applies it for each event."""

from __future__ import annotations

import copy
from typing import Any

import orjson

TEXT_MAX = 64 << 10
"""Characters of a patch."""
OPERATIONS_MAX = 100
VALUES_MAX = 100_000
"""Values that a patch may copy, all operations together: each `copy` could double the document, and an operation copies the
members of every object and list on its path. A text counts as one value for each `_CHARACTERS` of it."""
_CHARACTERS = 32
_LEVELS = 16
"""Levels that are around a spec where it is served, and some more: what is deeper than an encoder goes fails every list."""


class BadPatch(Exception):
    """A patch cannot be applied. The text says why."""


def patched(document: Any, text: str) -> Any:
    """The document after a patch, which shares with the old one what does not change. Raises BadPatch."""
    if len(text) > TEXT_MAX:
        raise BadPatch(f"it is longer than {TEXT_MAX} characters")
    try:
        # Unlike `json`, it makes nothing that cannot be encoded: numbers beyond 64 bits, halves of characters.
        operations = orjson.loads(text)
    except ValueError as error:
        raise BadPatch(f"it is not JSON: {error}") from error
    if not isinstance(operations, list) or len(operations) > OPERATIONS_MAX:
        raise BadPatch(f"it is not a list of at most {OPERATIONS_MAX} operations")
    patch = _Patch()
    for number, operation in enumerate(operations):
        try:
            document = patch.apply(document, operation)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise BadPatch(f"operation {number} cannot be applied: {type(error).__name__}: {error}") from error
    _check_depth(document)
    return document


def _check_depth(document: Any) -> None:
    for _ in range(_LEVELS):
        document = [document]
    try:
        orjson.dumps(document)
    except TypeError as error:
        raise BadPatch(f"what it makes cannot be encoded: {error}") from error


class _Patch:
    """One patch while it is applied. Its methods raise ValueError when it copies more than VALUES_MAX."""

    def __init__(self) -> None:
        self._left = VALUES_MAX

    def apply(self, document: Any, operation: Any) -> Any:
        kind, path = operation["op"], _parse(operation["path"])
        if kind == "add":
            return self._added(document, path, operation["value"])
        if kind == "replace":
            return self._replaced(document, path, operation["value"])
        if kind == "remove":
            return self._removed(document, path)
        if kind == "test":
            if not _equal(_find(document, path), operation["value"]):
                raise ValueError("the test fails")
            return document
        source = _parse(operation["from"])
        value = _find(document, source)
        if kind == "move":
            if path[: len(source)] == source and path != source:
                raise ValueError("a value cannot be moved into itself")
            return self._added(self._removed(document, source), path, value)
        if kind == "copy":
            self._spend_whole(value)
            return self._added(document, path, value)
        raise ValueError(f"unknown operation {kind!r}")

    def _spend(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise ValueError(f"the patch copies more than {VALUES_MAX} values")

    def _spend_whole(self, value: Any) -> None:
        """Counts a value and all in it, and no more of it than may be copied."""
        rest = [value]
        while rest:
            found = rest.pop()
            if isinstance(found, str):
                self._spend(1 + len(found) // _CHARACTERS)
                continue
            self._spend(1)
            if isinstance(found, dict):
                self._spend(len(found))
                rest += found
                rest += found.values()
            elif isinstance(found, list):
                self._spend(len(found))
                rest += found

    def _copy(self, parent: Any) -> Any:
        if isinstance(parent, dict | list):
            self._spend(len(parent))
        return copy.copy(parent)

    def _copied(self, document: Any, path: list[str]) -> tuple[Any, Any]:
        """(the document, the parent of a path), where all that leads there is a copy that may be changed."""
        root = parent = self._copy(document)
        for part in path[:-1]:
            index = _index(parent, part)
            parent[index] = child = self._copy(parent[index])
            parent = child
        return root, parent

    def _added(self, document: Any, path: list[str], value: Any) -> Any:
        if not path:
            return value
        root, parent = self._copied(document, path)
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

    def _replaced(self, document: Any, path: list[str], value: Any) -> Any:
        if not path:
            return value
        root, parent = self._copied(document, path)
        index = _index(parent, path[-1])
        parent[index]  # it has to be there
        parent[index] = value
        return root

    def _removed(self, document: Any, path: list[str]) -> Any:
        if not path:
            raise ValueError("the whole document cannot be removed")
        root, parent = self._copied(document, path)
        del parent[_index(parent, path[-1])]
        return root


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
