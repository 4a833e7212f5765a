"""Applies the defaults of a schema, and removes nulls where null is not allowed (structural defaulting, KEP-1693).

Numbers get the form in which Go holds them (`tenantry.kube.numbers`) in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tenantry.kube.exact import exact
from tenantry.kube.message_tables import OBJECT_META
from tenantry.kube.numbers import canonical, canonicalise, is_canonical
from tenantry.kube.objects import Object
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import StatusError

_Default = Callable[[Any, "AddedDefaults"], bool]
_Make = Callable[["AddedDefaults"], Any]
_FIELD_BYTES = 16
"""Bytes for a field, in addition to its value."""
_CONTAINERS = frozenset((dict, list))
_NUMBERS = frozenset((int, float))
_SCALAR_TYPES = frozenset(("integer", "number"))


MAX_DEFAULTS_BYTES = 8 * 1024 * 1024
"""How many bytes the defaults of a schema may add to an object. Each item of a list may get all defaults. A larger object could
not be stored."""


class _OverBudget(Exception):
    """The defaults add more bytes than allowed."""


class AddedDefaults:
    """How many bytes defaults may still add, and the places where they were added."""

    __slots__ = ("keeps_nulls", "left", "places")

    def __init__(self, left: int, *, keeps_nulls: bool = False) -> None:
        self.left = left
        self.keeps_nulls = keeps_nulls
        self.places: list[tuple[Any, Any, bool]] = []

    def take(self, size: int) -> None:
        """Counts bytes. Raises _OverBudget."""
        self.left -= size
        if self.left < 0:
            raise _OverBudget

    def put(self, container: Any, key: Any, value: Any) -> None:
        """Sets an item and remembers the place for `undo`."""
        self.places.append((container, key, type(container) is list or key in container))
        container[key] = value

    def undo(self) -> None:
        """Removes the added defaults. Nulls that they replaced are restored."""
        for container, key, null in reversed(self.places):
            if null:
                container[key] = None
            else:
                del container[key]


def default(obj: Object, schema: Schema, *, keeps_nulls: bool = False) -> bool:
    """Adds the defaults of missing fields, in place. A null that the schema does not allow counts as missing; without a default
    it is removed, or kept for validation to refuse (`keeps_nulls`). Returns whether anything changed. Raises StatusError 413
    above `MAX_DEFAULTS_BYTES`, and then adds no defaults."""
    changed = default_within(obj, schema, MAX_DEFAULTS_BYTES, keeps_nulls=keeps_nulls)
    if changed is None:
        raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {_TOO_LARGE}")
    return changed


def default_within(obj: Object, schema: Schema, bytes_max: int, *, keeps_nulls: bool = False) -> bool | None:
    """`default` with another limit for the added bytes. Returns None above the limit, and then adds no defaults."""
    made = AddedDefaults(bytes_max, keeps_nulls=keeps_nulls)
    try:
        return compiled(schema, "default", _compile_root)(obj, made)
    except _OverBudget:
        made.undo()
        return None


_TOO_LARGE = f"the defaults of the schema add more than {MAX_DEFAULTS_BYTES} bytes to the object"


def holds_floats(schema: Schema) -> bool:
    """Whether objects of a schema may have numbers that are not whole."""
    return compiled(schema, "floats", lambda root: _holds_floats(root, set()))


def _holds_floats(schema: Schema, seen: set[int]) -> bool:
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    if schema.type == "number" or _holds_anything(schema):
        return True
    below = [*schema.properties.values(), schema.items, schema.additional]
    return any(isinstance(each, Schema) and _holds_floats(each, seen) for each in below)


def _compile_root(schema: Schema) -> _Default:
    return _compile(schema, {}) or _nothing


def _nothing(value: Any, made: AddedDefaults) -> bool:
    return False


def maker(value: Any) -> _Make:
    """A function that makes a new copy of a JSON value."""
    encoded = exact(orjson.dumps(value))
    size = len(encoded) + _FIELD_BYTES

    def copy(made: AddedDefaults) -> Any:
        made.take(size)
        return orjson.loads(encoded)

    def same(made: AddedDefaults) -> Any:
        made.take(size)
        return value

    return copy if isinstance(value, (dict, list)) else same


def _compile(schema: Schema, known: dict[int, _Default]) -> _Default | None:
    if id(schema) in known:
        return known[id(schema)]
    if schema.items is not None:
        return _compile_list(schema.items, known)
    if schema.properties or isinstance(schema.additional, Schema) or schema.embedded_resource:
        return _compile_object(schema, known)
    return _canonicalise if _holds_anything(schema) else None


def _holds_anything(schema: Schema) -> bool:
    """Whether values below a schema without fields are of any type. Sets of owned fields have no numbers."""
    if schema.ref.endswith(".FieldsV1"):
        return False
    if schema.items is not None or schema.properties or isinstance(schema.additional, Schema):
        return schema.preserve_unknown
    return schema.preserve_unknown or schema.additional is True or not (schema.type or schema.int_or_string)


def _canonicalise(value: Any, made: AddedDefaults) -> bool:
    return type(value) in _CONTAINERS and canonicalise(value)


def _compile_list(items: Schema, known: dict[int, _Default]) -> _Default | None:
    each = _compile(items, known)
    make = maker(items.default) if items.has_default and not items.nullable else None
    if each is None and make is None and items.type not in _SCALAR_TYPES and not items.int_or_string:
        return None

    def default_list(value: Any, made: AddedDefaults) -> bool:
        if type(value) is not list:
            return False
        changed = False
        for index, item in enumerate(value):
            if item is None and make is not None:
                item = make(made)
                made.put(value, index, item)
                changed = True
            elif type(item) in _NUMBERS:
                if not is_canonical(item):
                    value[index] = canonical(item)
                    changed = True
                continue
            if each is not None and each(item, made):
                changed = True
        return changed

    return default_list


def _compile_object(schema: Schema, known: dict[int, _Default]) -> _Default:
    defaults: list[tuple[str, _Make]] = []
    inner: dict[str, _Default] = {}
    nullable: set[str] = set()
    makers: dict[str, _Make] = {}
    additional: list[_Default] = []
    null_value: list[_Make] = []
    drops_null_values = isinstance(schema.additional, Schema) and not schema.additional.nullable

    def default_object(value: Any, made: AddedDefaults) -> bool:
        if type(value) is not dict:
            return False
        changed = False
        for name, make in defaults:
            if name not in value:
                made.put(value, name, make(made))
                changed = True
        nulls: list[str] | None = None
        for key, item in value.items():
            kind = type(item)
            if kind is str:
                continue
            if item is None:
                if key not in nullable:
                    if nulls is None:
                        nulls = []
                    nulls.append(key)
            elif kind in _CONTAINERS:
                each = inner.get(key)
                if each is not None:
                    if each(item, made):
                        changed = True
                elif additional and key not in declared and additional[0](item, made):
                    changed = True
            elif kind in _NUMBERS and not is_canonical(item):
                value[key] = canonical(item)
                changed = True
        if nulls is not None:
            for key in nulls:
                changed = resolve_null(value, key, made) or changed
        return changed

    def resolve_null(value: Object, key: str, made: AddedDefaults) -> bool:
        make = makers.get(key)
        if make is None and key not in declared:
            if not drops_null_values:
                return False
            make = null_value[0] if null_value else None
        if make is None:
            if made.keeps_nulls:
                return False
            del value[key]
            return True
        filled = make(made)
        made.put(value, key, filled)
        each = inner.get(key) or (additional[0] if additional and key not in declared else None)
        if each is not None:
            each(filled, made)
        return True

    known[id(schema)] = default_object
    properties = dict(schema.properties)
    if schema.embedded_resource:
        properties["metadata"] = OBJECT_META.schema
    declared = frozenset(properties)
    for name, child in properties.items():
        if child.has_default:
            make = maker(child.default)
            defaults.append((name, make))
            if not child.nullable:
                makers[name] = make
        if child.nullable:
            nullable.add(name)
        compiled_child = _compile(child, known)
        if compiled_child is not None:
            inner[name] = compiled_child
    if isinstance(schema.additional, Schema):
        if schema.additional.has_default:
            null_value.append(maker(schema.additional.default))
        compiled_child = _compile(schema.additional, known)
        if compiled_child is not None:
            additional.append(compiled_child)
    elif schema.preserve_unknown or schema.additional is True:
        additional.append(_canonicalise)
    return default_object
