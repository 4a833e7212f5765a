"""Objects inside of custom resources (x-kubernetes-embedded-resource): their apiVersion, kind and metadata are those of an object
(apiextensions-apiserver's schema/objectmeta)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tenantry.kube.field_errors import invalid, required, show
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.message_tables import OBJECT_META
from tenantry.kube.metadata_validation import embedded_metadata_errors
from tenantry.kube.names import dns1035_label_errors
from tenantry.kube.objects import Object
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import FieldError

Visit = Callable[[Object, str], None]
"""Is called with each embedded object and its path."""
_Walk = Callable[[Any, str, Visit], None]


def has_embedded(schema: Schema) -> bool:
    return _walk(schema) is not None


def _walk(schema: Schema) -> _Walk | None:
    return compiled(schema, "embedded", lambda root: _compile(root, frozenset()))


def decode_embedded(obj: Object, schema: Schema) -> None:
    """Decodes the metadata of embedded objects as Go does, in place. Raises Mismatch for a value of a wrong type, with the text
    that stands in a 400."""
    walk = _walk(schema)
    if walk is not None:
        walk(obj, "", _decode)


def embedded_errors(obj: Any, schema: Schema) -> list[FieldError]:
    """The errors of embedded objects, which no ratcheting excuses."""
    walk = _walk(schema)
    if walk is None:
        return []
    errors: list[FieldError] = []
    walk(obj, "", lambda inner, path: errors.extend(_errors(inner, path)))
    return errors


def _decode(obj: Object, path: str) -> None:
    for name in ("apiVersion", "kind"):
        if name in obj and type(obj[name]) is not str:
            raise _mismatch(f"{path}.{name}", obj[name], "must be a string")
    if "metadata" not in obj:
        return
    metadata = obj["metadata"] = {} if obj["metadata"] is None else obj["metadata"]
    problem = _decoding_problem(metadata)
    if problem:
        raise _mismatch(f"{path}.metadata", metadata, problem)


def _mismatch(path: str, value: Any, problem: str) -> Mismatch:
    return Mismatch(value, "", f"{path}: Invalid value: {show(value)}: {problem}")


def _decoding_problem(metadata: Any) -> str:
    """Go's text where a value is no ObjectMeta, else empty. The metadata gets its decoded form."""
    try:
        if type(metadata) is not dict:
            raise Mismatch(metadata, "v1.ObjectMeta")
        normaliser(OBJECT_META)(metadata)
    except Mismatch as mismatch:
        return mismatch.text()
    return ""


def _errors(obj: Object, path: str) -> list[FieldError]:
    errors = [required(_field(path, name)) for name in ("apiVersion", "kind") if name not in obj]
    for name, wrong in (("apiVersion", _version_error), ("kind", _kind_error)):
        if name in obj:
            value = obj[name]
            text = "must be a string" if type(value) is not str else wrong(value) if value else "must not be empty"
            if text:
                errors.append(invalid(_field(path, name), value, text))
    if "metadata" in obj:
        # A copy, because an object is not changed by its validation.
        metadata = orjson.loads(orjson.dumps(obj["metadata"])) or {}
        problem = _decoding_problem(metadata)
        if problem:
            errors.append(invalid(_field(path, "metadata"), obj["metadata"], problem))
        else:
            errors += embedded_metadata_errors(metadata, _field(path, "metadata"))
    return errors


def _field(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _version_error(text: str) -> str:
    return f"unexpected GroupVersion string: {text}" if text.count("/") > 1 else ""


def _kind_error(text: str) -> str:
    wrong = dns1035_label_errors(text.lower())
    return f"may have mixed case, but should otherwise match: {','.join(wrong)}" if wrong else ""


def _compile(schema: Schema, known: frozenset[int]) -> _Walk | None:
    """A function that visits the embedded objects in a value. None where there can be none."""
    if id(schema) in known:
        # A schema that contains itself has no embedded objects: a structural one never does.
        return None
    known |= {id(schema)}
    inner = _compile_items(schema.items, known) if schema.items is not None else _compile_fields(schema, known)
    if not schema.embedded_resource:
        return inner

    def embedded(value: Any, path: str, visit: Visit) -> None:
        if type(value) is dict:
            visit(value, path)
            if inner is not None:
                inner(value, path, visit)

    return embedded


def _compile_items(items: Schema, known: frozenset[int]) -> _Walk | None:
    each = _compile(items, known)
    if each is None:
        return None

    def walk(value: Any, path: str, visit: Visit) -> None:
        if type(value) is list:
            for index, item in enumerate(value):
                each(item, f"{path}[{index}]", visit)

    return walk


def _compile_fields(schema: Schema, known: frozenset[int]) -> _Walk | None:
    fields = {name: each for name, child in schema.properties.items() if (each := _compile(child, known)) is not None}
    values = _compile(schema.additional, known) if isinstance(schema.additional, Schema) else None
    if not fields and values is None:
        return None

    def walk(value: Any, path: str, visit: Visit) -> None:
        if type(value) is not dict:
            return
        for name, visit_field in fields.items():
            if name in value:
                visit_field(value[name], _field(path, name), visit)
        if values is not None:
            for key, item in value.items():
                values(item, f"{path}[{key}]", visit)

    return walk
