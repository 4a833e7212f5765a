"""Values of messages as upstream shows them in errors: as its internal types, whose fields have Go's names."""

from __future__ import annotations

from typing import Any

from tenantry.kube.message_tables import OBJECT_META, Field, Message
from tenantry.kube.objects import Object

_GO_NAMES = {
    "apiGroup": "APIGroup",
    "apiGroups": "APIGroups",
    "apiVersion": "APIVersion",
    "nonResourceURLs": "NonResourceURLs",
    "uid": "UID",
}
_ZEROS: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0}


def internal_value(message: Message, obj: Object) -> Object:
    """A message as JSON of the internal type: every field is there, with Go's name and zero value. `obj` is not changed."""
    made: Object = {}
    for field in message.fields:
        if field.name == "metadata" and message.root:
            # It is embedded, and has the names of JSON.
            found = obj.get("metadata") or {}
            made |= {each.name: found[each.name] for each in OBJECT_META.fields if found.get(each.name)}
        else:
            made[_GO_NAMES.get(field.name, field.name[:1].upper() + field.name[1:])] = _value(field, obj.get(field.name))
    return made


def _value(field: Field, value: Any) -> Any:
    of = field.type
    if value is None:
        if of.container or of.pointer:
            return None
        return internal_value(of.message, {}) if of.message is not None else _ZEROS.get(of.name)
    if of.message is None:
        return value
    return [internal_value(of.message, each) for each in value] if of.container == "list" else internal_value(of.message, value)
