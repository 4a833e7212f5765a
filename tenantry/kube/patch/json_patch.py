"""JSON patch (RFC 6902) as kube-apiserver applies it.

Behaviour of upstream's library (evanphx/json-patch v4) that clients may rely on: `replace` of a missing member adds it, `test` of
null succeeds for a missing member, negative indices count from the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson

from tenantry.kube.go_text import quote
from tenantry.kube.patch.json_values import check_depth, copy_of, equal, json_type
from tenantry.kube.status import StatusError, bad_request

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""The limit for what all `copy` operations of a patch copy together: each could double the document."""

MAX_MOVED_ITEMS = 20_000_000
"""The limit for list items that all operations together move: each insertion and removal moves the items after it."""

_INDEX = re.compile(r"[+-]?[0-9]{1,9}\Z", re.ASCII)
_MISSING: Final = object()


class OperationFailed(Exception):
    """An operation that fails, with the library's text. Clients that patch get one text for all of them."""

    is_test = False
    """Whether it is a `test` whose value is another one."""


class _TestFailed(OperationFailed):
    is_test = True


def apply(document: Any, operations: Any) -> Any:
    """The document after all operations. It shares nothing with its inputs. `operations` is the decoded patch; null means none.

    Raises StatusError: 400 where the patch has a wrong form or is nested too deeply, 413 above `MAX_OPERATIONS` and
    `MAX_MOVED_ITEMS`, 422 where an operation fails.
    """
    _check_shape(operations)
    try:
        return apply_operations(document, operations or [])
    except OperationFailed as failure:
        raise StatusError(
            422, "Invalid", "the server rejected our request due to an error in our request", details={}
        ) from failure


def apply_operations(document: Any, operations: Sequence[Any]) -> Any:
    """The same for operations of the right form, whose failures are named (admission). Raises OperationFailed, and StatusError
    400 and 413."""
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
    for operation in operations:
        patched.apply(operation or {})
    if patched.deepened:
        check_depth(patched.root)
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


def _index(text: str, size: int, *, is_new: bool = False) -> int:
    """An index into a list with `size` places. Negative ones count from the end."""
    if not _INDEX.match(text):
        if is_new:
            raise OperationFailed(f"value was not a proper array index: '{text}': {_not_a_number(text)}")
        raise OperationFailed(_not_a_number(text))
    given = int(text)
    index = given + size if given < 0 else given
    if not 0 <= index < size:
        raise OperationFailed(f"Unable to access invalid index: {given}: invalid index referenced")
    return index


def _not_a_number(text: str) -> str:
    wrong = "value out of range" if re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII) else "invalid syntax"
    return f"strconv.Atoi: parsing {quote(text)}: {wrong}"


_Container = dict[str, Any] | list[Any]


class _Document:
    def __init__(self, root: Any) -> None:
        self.root = root
        self.copied_bytes = 0
        self.moved_items = 0
        self.deepened = False
        """Whether a container was inserted. Then the document may be nested too deeply to be stored."""

    def apply(self, operation: dict[str, Any]) -> None:
        name = operation.get("op")
        run = _OPERATIONS.get(name) if isinstance(name, str) else None
        if run is None:
            raise OperationFailed(f"Unexpected kind: {'unknown' if name is None else name}")
        run(self, operation)

    def locate(self, path: str, what: str, shown: str) -> tuple[_Container, str]:
        """The container that a path ends in, and the key in it. `what` and `shown`: the operation and the path in an error."""
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
        container: Any = self.root if parts else None
        for part in parts[:-1]:
            try:
                container = _value_at(container, part)
            except OperationFailed:
                container = None
            if not isinstance(container, dict | list):
                break
        if not isinstance(container, dict | list):
            raise OperationFailed(f"{what} path: {shown}: missing value")
        return container, parts[-1]

    def add(self, operation: dict[str, Any]) -> None:
        path = _path_of(operation, "add", bare=True)
        container, key = self.locate(path, "add operation does not apply: doc is missing", f'"{path}"')
        with _named(f"error in add for path: '{path}': "):
            self.insert(container, key, copy_of(operation.get("value")))

    def drop(self, operation: dict[str, Any]) -> None:
        path = _path_of(operation, "remove", bare=True)
        container, key = self.locate(path, "remove operation does not apply: doc is missing", f'"{path}"')
        with _named(f"error in remove for path: '{path}': "):
            self.remove(container, key)

    def replace(self, operation: dict[str, Any]) -> None:
        path = _path_of(operation, "replace")
        value = operation.get("value", _MISSING)
        if path == "":
            # A scalar cannot be the document, or make it deeper.
            if not isinstance(value, dict | list):
                raise OperationFailed("replace operation value must be object or array: %!w(<nil>)")
            self.root = copy_of(value)
            return
        container, key = self.locate(path, "replace operation does not apply: doc is missing", path)
        new = None if value is _MISSING else copy_of(value)
        self.deepened = self.deepened or isinstance(new, dict | list)
        if isinstance(container, dict):
            container[key] = new
            return
        try:
            container[_index(key, len(container))] = new
        except OperationFailed:
            raise OperationFailed(f"replace operation does not apply: doc is missing key: {path}: missing value") from None

    def move(self, operation: dict[str, Any]) -> None:
        origin = _origin_of(operation, "move")
        container, key = self.locate(origin, "move operation does not apply: doc is missing from", origin)
        with _named(f"error in move for path: '{key}': "):
            value = _value_at(container, key)
            self.remove(container, key)
        path = _path_of(operation, "move")
        container, key = self.locate(path, "move operation does not apply: doc is missing destination", path)
        with _named(f"error in move for path: '{path}': "):
            self.insert(container, key, value)

    def copy(self, operation: dict[str, Any]) -> None:
        origin = _origin_of(operation, "copy")
        container, key = self.locate(origin, "copy operation does not apply: doc is missing from", origin)
        with _named(f"error in copy for from: '{origin}': "):
            value = _value_at(container, key)
        path = _path_of(operation, "copy", bare=True)
        container, key = self.locate(path, "copy operation does not apply: doc is missing destination", path)
        if isinstance(value, dict | list | str):
            check_depth(value)
            self.copied_bytes += len(orjson.dumps(value))
            if self.copied_bytes > MAX_COPIED_BYTES:
                size = f"the accumulated size increase of copy is {self.copied_bytes}, exceeding the limit {MAX_COPIED_BYTES}"
                raise OperationFailed(f"Unable to complete the copy, {size}")
        with _named("error while adding value during copy: "):
            self.insert(container, key, copy_of(value))

    def test(self, operation: dict[str, Any]) -> None:
        path = _path_of(operation, "test")
        current = self.root
        if path:
            container, key = self.locate(path, "test operation does not apply: is missing", path)
            with _named(f"error in test for path: '{path}': "):
                current = _value_at(container, key)
        if not equal(current, operation.get("value")):
            raise _TestFailed(f"testing value {path} failed: test failed")

    def insert(self, container: _Container, key: str, value: Any) -> None:
        self.deepened = self.deepened or isinstance(value, dict | list)
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            index = _index(key, len(container) + 1, is_new=True)
            self.move_items(len(container) - index)
            container.insert(index, value)

    def remove(self, container: _Container, key: str) -> None:
        if isinstance(container, list):
            index = _index(key, len(container))
            self.move_items(len(container) - index)
            del container[index]
        elif key in container:
            del container[key]
        else:
            raise OperationFailed(f"Unable to remove nonexistent key: {key}: missing value")

    def move_items(self, count: int) -> None:
        """Called before the items after a place in a list move. Raises StatusError 413."""
        self.moved_items += count
        if self.moved_items > MAX_MOVED_ITEMS:
            text = f"The operations of a JSON patch may move {MAX_MOVED_ITEMS} items of lists; replace a list instead"
            raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {text}")


_OPERATIONS: dict[str, Callable[[_Document, dict[str, Any]], None]] = {
    "add": _Document.add,
    "remove": _Document.drop,
    "replace": _Document.replace,
    "move": _Document.move,
    "test": _Document.test,
    "copy": _Document.copy,
}


def _value_at(container: _Container, key: str) -> Any:
    """The value at a key; null where an object does not have the key."""
    if isinstance(container, dict):
        return container.get(key)
    return container[_index(key, len(container))]


def _path_of(operation: dict[str, Any], name: str, *, bare: bool = False) -> str:
    path = operation.get("path")
    if path is None:
        raise OperationFailed(
            f"{name} operation failed to decode path: {'' if bare else 'operation missing path field: '}missing value"
        )
    return str(path)


def _origin_of(operation: dict[str, Any], name: str) -> str:
    origin = operation.get("from")
    if origin is None:
        raise OperationFailed(f"{name} operation failed to decode from: operation, missing from field: missing value")
    return str(origin)


@contextmanager
def _named(prefix: str) -> Iterator[None]:
    """Says of a failure in which operation it is."""
    try:
        yield
    except OperationFailed as failure:
        raise OperationFailed(prefix + str(failure)) from None
