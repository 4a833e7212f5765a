"""What mutations of admission policies construct: objects (`Object.spec{replicas: 1}`), whose types are the paths of their
fields, and JSON patches (`JSONPatch{op: 'remove', path: '/a'}`) (k8s.io/apiserver/pkg/cel/mutation)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_types import DYN, STRING, Type
from tenantry.kube.schema.cel_values import Cost, LazyFields, equal

OBJECT, JSON_PATCH = Type("struct", "Object"), Type("struct", "JSONPatch")
_PATCH_FIELDS = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}
_NO_TYPE = Type("")
"""The type of a field that a patch does not have: only dyn is assignable."""


class Constructed(LazyFields):
    """An object or a JSON patch, with the name of its type."""

    __slots__ = ("fields", "type_name")

    def __init__(self, type_name: str, fields: dict[str, Any]) -> None:
        self.type_name = type_name
        self.fields = fields

    def field(self, name: str) -> Any:
        """A field as an expression sees it: of an object null where it is missing. Raises CelError."""
        if name in self.fields:
            return self.fields[name]
        if self.type_name != JSON_PATCH.name:
            return None
        if name not in _PATCH_FIELDS or name == "value":
            raise CelError(f"unsupported indexer: {name}")
        return ""

    def has(self, name: str) -> bool:
        """Whether `has()` finds a field: those of a patch are there where they are not empty."""
        if self.type_name == JSON_PATCH.name and name != "value":
            return bool(self.fields.get(name))
        return name in self.fields

    def equals(self, cost: Cost, other: LazyFields) -> bool:
        if not isinstance(other, Constructed) or self.type_name != other.type_name:
            return False
        return equal(cost, self.fields, other.fields)


def struct_type(name: str) -> Type | None:
    """The type that can be constructed by this name, if there is one."""
    if name == JSON_PATCH.name:
        return JSON_PATCH
    is_object = name == OBJECT.name or name.startswith("Object.")
    return Type("struct", name) if is_object else None


def field_type(struct: str, field: str) -> Type:
    """The type of a field. Objects may have any field, with any value."""
    return _PATCH_FIELDS.get(field, _NO_TYPE) if struct == JSON_PATCH.name else DYN


def construct(type_name: str, fields: dict[str, Any]) -> Constructed:
    """Raises CelError for what a patch cannot have. Its types are known only where they are not dyn."""
    if type_name == JSON_PATCH.name:
        for name, value in fields.items():
            if name not in _PATCH_FIELDS:
                raise CelError(f"unexpected JSONPatchType field: {name}")
            if name != "value" and type(value) is not str:
                raise CelError(f"unexpected type {_go_type(value)} for JSONPatchType '{name}' field")
    return Constructed(type_name, fields)


_GO_TYPES = {bool: "bool", int: "int64", float: "float64", bytes: "[]uint8", type(None): "structpb.NullValue"}


def _go_type(value: Any) -> str:
    if isinstance(value, list):
        return "[]interface {}"
    return "map[string]interface {}" if type(value) is dict else _GO_TYPES.get(type(value), type(value).__name__)


def type_mismatches(value: Constructed, look: Callable[[], None]) -> list[str]:
    """Where the name of an object's type is not the path of its field, from the constructed object on
    (CheckTypeNamesMatchFieldPathNames). Lists and maps on the way have no names. `look` is called for each value, and may raise
    an error to end it."""
    found: list[str] = []
    _check_names(value, value.type_name, found, look)
    return found


def _check_names(value: Any, path: str, found: list[str], look: Callable[[], None]) -> None:
    look()
    if isinstance(value, Constructed):
        if value.type_name != path:
            expected = f'expected "{path}", which matches field name path from root Object type'
            found.append(f'unexpected type name "{value.type_name}", {expected}')
        for name, below in value.fields.items():
            _check_names(below, f"{path}.{name}", found, look)
    elif isinstance(value, list | dict):
        for below in value.values() if isinstance(value, dict) else value:
            _check_names(below, path, found, look)
