"""JSON patch (RFC 6902) as kube-apiserver applies it.

Behaviour of upstream's library (evanphx/json-patch v4) that clients may rely on: `replace` of a missing member adds it, `test` of
null succeeds for a missing member, negative indices count from the end.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from tenantry.kube.patch.json_values import copy_of, equal, json_type
from tenantry.kube.status import StatusError, bad_request

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""The limit for what all `copy` operations of a patch copy together: each could double the document."""

MAX_MOVED_ITEMS = 20_000_000
"""The limit for list items that all operations together move: each insertion and removal moves the items after it."""

_INDEX = re.compile(r"[+-]?[0-9]{1,9}\Z", re.ASCII)
_MISSING: Final = object()


class _Refused(Exception):
    """An operation that fails. Clients get one text for all of them."""


def apply(document: Any, operations: Any) -> Any:
    """The document after all operations. It shares nothing with its inputs. `operations` is the decoded patch; null means none.

    Raises StatusError: 400 where the patch has a wrong form or is nested too deeply, 413 above `MAX_OPERATIONS` and
    `MAX_MOVED_ITEMS`, 422 where an operation fails.
    """
    _check_shape(operations)
    if not operations:
        return copy_of(document)
    if len(operations) > MAX_OPERATIONS:
        raise StatusError(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{MAX_OPERATIONS}, got {len(operations)}",
        )
    patched = _Document(copy_of(document))
    try:
        for operation in operations:
            patched.apply(operation)
    except _Refused as refusal:
        raise StatusError(
            422, "Invalid", "the server rejected our request due to an error in our request", details={}
        ) from refusal
    if patched.deepened:
        copy_of(patched.root)
    return patched.root


def _check_shape(operations: Any) -> None:
    if operations is None:
        return
    if not isinstance(operations, list):
        raise _cannot_decode(operations, "value of type []handlers.jsonPatchOp")
    for operation in operations:
        if operation is None:
            continue
        if not isinstance(operation, dict):
            raise _cannot_decode(operation, "value of type handlers.jsonPatchOp")
        for name in ("op", "path", "from"):
            value = operation.get(name)
            if value is not None and not isinstance(value, str):
                raise _cannot_decode(value, f"struct field jsonPatchOp.{name} of type string")


def _cannot_decode(value: Any, target: str) -> StatusError:
    return bad_request(f"error decoding patch: json: cannot unmarshal {json_type(value)} into Go {target}")


def _index(text: str, size: int) -> int:
    """An index into a list with `size` places. Negative ones count from the end."""
    if not _INDEX.match(text):
        raise _Refused(f"value was not a proper array index: '{text}'")
    index = int(text)
    if index < 0:
        index += size
    if not 0 <= index < size:
        raise _Refused(f"Unable to access invalid index: {text}")
    return index


def _member(container: dict[str, Any] | list[Any], key: str) -> Any:
    """The value at a key; null where an object does not have the key."""
    if isinstance(container, dict):
        return container.get(key)
    return container[_index(key, len(container))]


class _Document:
    def __init__(self, root: Any) -> None:
        self.root = root
        self.copied_bytes = 0
        self.moved_items = 0
        self.deepened = False
        """Whether a container was inserted. Then the document may be nested too deeply to be stored."""

    def apply(self, operation: dict[str, Any] | None) -> None:
        if operation is None:
            raise _Refused("an operation is null")
        path = operation.get("path")
        if path is None:
            raise _Refused("operation failed to decode path")
        match operation.get("op"):
            case "add":
                self.add(path, copy_of(operation.get("value")))
            case "remove":
                container, key = self.locate(path)
                self.remove(container, key)
            case "replace":
                self.replace(path, operation.get("value", _MISSING))
            case "test":
                self.test(path, operation.get("value"))
            case "move":
                container, key = self.locate(operation.get("from"))
                value = _member(container, key)
                self.remove(container, key)
                self.add(path, value)
            case "copy":
                container, key = self.locate(operation.get("from"))
                self.add(path, self.copy(_member(container, key)))
            case other:
                raise _Refused(f"Unexpected kind: {other}")

    def locate(self, path: str | None) -> tuple[dict[str, Any] | list[Any], str]:
        """The container that a path ends in, and the key in it."""
        if path is None or "/" not in path:
            raise _Refused(f"doc is missing path: {path}")
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
        container = self.root
        for part in parts[:-1]:
            container = _member(container, part)
            if not isinstance(container, dict | list):
                raise _Refused(f"doc is missing path: {path}")
        return container, parts[-1]

    def replace(self, path: str, value: Any) -> None:
        if path == "":
            if value is _MISSING:
                raise _Refused("replace operation has no value")
            # A scalar cannot make the document deeper.
            if isinstance(value, dict | list):
                self.root = copy_of(value)
            return
        container, key = self.locate(path)
        new = None if value is _MISSING else copy_of(value)
        self.deepened = self.deepened or isinstance(new, dict | list)
        if isinstance(container, dict):
            container[key] = new
        else:
            container[_index(key, len(container))] = new

    def test(self, path: str, value: Any) -> None:
        if path == "":
            current = self.root
        else:
            container, key = self.locate(path)
            current = _member(container, key)
        if not equal(current, value):
            raise _Refused(f"testing value {path} failed")

    def copy(self, value: Any) -> Any:
        if not isinstance(value, dict | list | str):
            return value
        self.copied_bytes += len(orjson.dumps(value))
        if self.copied_bytes > MAX_COPIED_BYTES:
            raise _Refused("Unable to complete the copy, the accumulated size increase of copy is above the limit")
        return copy_of(value)

    def add(self, path: str, value: Any) -> None:
        self.deepened = self.deepened or isinstance(value, dict | list)
        container, key = self.locate(path)
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            index = _index(key, len(container) + 1)
            self.move_items(len(container) - index)
            container.insert(index, value)

    def remove(self, container: dict[str, Any] | list[Any], key: str) -> None:
        if isinstance(container, list):
            index = _index(key, len(container))
            self.move_items(len(container) - index)
            del container[index]
        elif key in container:
            del container[key]
        else:
            raise _Refused(f"Unable to remove nonexistent key: {key}")

    def move_items(self, count: int) -> None:
        """Called before the items after a place in a list move. Raises StatusError 413."""
        self.moved_items += count
        if self.moved_items > MAX_MOVED_ITEMS:
            text = f"The operations of a JSON patch may move {MAX_MOVED_ITEMS} items of lists; replace a list instead"
            raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {text}")
