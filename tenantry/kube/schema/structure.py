"""Validates the OpenAPI v3 schema of a definition: structural schemas and the limits of v1 CRDs, with upstream's texts
(apiextensions-apiserver: pkg/apiserver/schema/validation.go, pkg/apis/apiextensions/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

from tenantry.kube.field_errors import VALUE_CHARACTERS, below, forbidden, invalid, not_supported, required
from tenantry.kube.objects import Object
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.regex import syntax_error
from tenantry.kube.schema.ruled_schemas import ruled_schemas
from tenantry.kube.schema.structural import Schema
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import CAUSES_MAX, FieldError, cut

_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_SCALARS = frozenset(("boolean", "integer", "number", "string"))
_UNSUPPORTED = ("$ref", "definitions", "dependencies", "id", "patternProperties", "additionalItems")
_NAMED = ("name", "generateName")
_NESTED_TEXTS = (
    ("type", "must be empty to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("nullable", "must be false to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be undefined to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def schema_errors(document: Object, path: str) -> list[FieldError]:
    """The errors of a version's schema, at `path` (`spec.validation.openAPIV3Schema`)."""
    # Each step runs only on a document that the step before found valid.
    errors = list(islice(_document(document, path), CAUSES_MAX)) or list(islice(_structural(document, path, _ROOT), CAUSES_MAX))
    if errors:
        return errors
    schema = from_openapi(document)
    errors += _defaults(document, schema, path, is_root=True)
    ruled = ruled_schemas(schema, path)
    if ruled:
        # Not at the top: most processes never need the checker.
        from tenantry.kube.schema.cel_definition import errors_of

        errors += errors_of(ruled, path)
    return errors


def children(document: Object, path: str) -> Iterator[tuple[Object, str, str]]:
    """The schemas directly below one that describe values: (document, path, level)."""
    for name, child in (document.get("properties") or {}).items():
        yield child, _property(path, name), _FIELD
    if isinstance(document.get("items"), dict):
        yield document["items"], below(path, ".items"), _ITEM
    if isinstance(document.get("additionalProperties"), dict):
        yield document["additionalProperties"], below(path, ".additionalProperties"), _FIELD


def _property(path: str, name: str) -> str:
    return below(path, f".properties[{cut(name, VALUE_CHARACTERS)}]")


def _branches(document: Object, path: str) -> Iterator[tuple[Object, str]]:
    for key in ("allOf", "anyOf", "oneOf"):
        for index, branch in enumerate(document.get(key) or ()):
            yield branch, below(path, f".{key}[{index}]")
    if document.get("not") is not None:
        yield document["not"], below(path, ".not")


# The document itself ---------------------------------------------------------------------------------------------------


def _document(document: Object, path: str) -> Iterator[FieldError]:
    for keyword in _UNSUPPORTED:
        if document.get(keyword):
            yield forbidden(f"{path}.{keyword}", f"{keyword} is not supported")
    if document.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", text)
    kind = document.get("type")
    if kind and kind not in _TYPES:
        if kind == "null":
            yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
        yield not_supported(f"{path}.type", kind, _TYPES)
    if document.get("properties") and document.get("additionalProperties") not in (None, True):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if isinstance(document.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    pattern = document.get("pattern")
    if pattern:
        broken = syntax_error(pattern)
        if broken:
            yield invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {broken}")
    yield from _list_and_map_types(document, path)
    for child, child_path, _ in children(document, path):
        yield from _document(child, child_path)
    for branch, branch_path in _branches(document, path):
        yield from _document(branch, branch_path)


def _list_and_map_types(document: Object, path: str) -> Iterator[FieldError]:
    kind = document.get("type") or ""
    preserve = document.get("x-kubernetes-preserve-unknown-fields")
    if preserve is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    map_type = document.get("x-kubernetes-map-type")
    if map_type is not None:
        if kind != "object":
            yield _wrong_type(path, kind, "must be object if x-kubernetes-map-type is specified")
        if map_type not in ("atomic", "granular"):
            yield not_supported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))
    list_type = document.get("x-kubernetes-list-type")
    keys = document.get("x-kubernetes-list-map-keys") or []
    if list_type is not None:
        if kind != "array":
            yield _wrong_type(path, kind, "must be array if x-kubernetes-list-type is specified")
        elif list_type not in ("atomic", "set", "map"):
            yield not_supported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "set", "map"))
    if list_type != "map" and keys:
        place = f"{path}.x-kubernetes-list-type"
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield required(place, text) if list_type is None else invalid(place, list_type, text)
    items = document.get("items")
    if kind == "array" and items is None:
        yield required(f"{path}.items", "must be specified")
    if list_type == "set" and isinstance(items, dict):
        yield from _set_items(items, f"{path}.items")
    if list_type == "map":
        yield from _map_keys(items if isinstance(items, dict) else {}, keys, path)


def _wrong_type(path: str, kind: str, text: str) -> FieldError:
    return invalid(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)


def _set_items(items: Object, path: str) -> Iterator[FieldError]:
    if items.get("nullable"):
        yield forbidden(f"{path}.nullable", "cannot be nullable when x-kubernetes-list-type is set")
    kind = items.get("type")
    if kind == "object" and items.get("x-kubernetes-map-type") != "atomic":
        value = items.get("x-kubernetes-map-type")
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield invalid(f"{path}.x-kubernetes-map-type", value, text)
    if kind == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        value = items.get("x-kubernetes-list-type")
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield invalid(f"{path}.x-kubernetes-list-type", value, text)


def _map_keys(items: Object, keys: list[str], path: str) -> Iterator[FieldError]:
    if not keys:
        text = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{path}.x-kubernetes-list-map-keys", text)
    kind = items.get("type") or ""
    if items and kind != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield _wrong_type(f"{path}.items", kind, text)
    if items.get("nullable"):
        yield forbidden(f"{path}.items.nullable", "cannot be nullable when x-kubernetes-list-type is map")
    properties = items.get("properties") or {}
    place = f"{path}.x-kubernetes-list-map-keys"
    if kind == "object" and any(key not in properties for key in keys):
        yield invalid(place, keys, "entries must all be names of item properties")
    if len(set(keys)) != len(keys):
        yield invalid(place, keys, "must not contain duplicate entries")
    needed = frozenset(items.get("required") or ())
    because = "this property is in x-kubernetes-list-map-keys, so it"
    for key in dict.fromkeys(keys):
        if key not in properties:
            continue
        prop, prop_path = properties[key], f"{path}.items.properties[{key}]"
        if prop.get("type") not in _SCALARS and not prop.get("x-kubernetes-int-or-string"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{prop_path}.type", prop.get("type") or "", text)
        if prop.get("default") is None and key not in needed:
            yield required(f"{prop_path}.default", f"{because} must have a default or be a required property")
        if prop.get("nullable"):
            yield forbidden(f"{prop_path}.nullable", f"{because} cannot be nullable")


# Structural rules ------------------------------------------------------------------------------------------------------


def _structural(document: Object, path: str, level: str) -> Iterator[FieldError]:
    kind = document.get("type") or ""
    embedded = bool(document.get("x-kubernetes-embedded-resource"))
    preserves = bool(document.get("x-kubernetes-preserve-unknown-fields"))
    either = bool(document.get("x-kubernetes-int-or-string"))
    additional = document.get("additionalProperties")
    if additional is not None and level == _ROOT:
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    yield from _extensions(either, preserves, embedded, path)
    if embedded and kind != "object":
        yield _wrong_type(path, kind, "must be object if x-kubernetes-embedded-resource is true")
    elif not kind and not either and (not preserves or level == _ROOT):
        yield required(f"{path}.type", f"must not be empty {level}")
    if embedded and additional is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        yield forbidden(f"{path}.additionalProperties", text)
    if level == _ROOT and kind and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")
    properties = document.get("properties") or {}
    if level == _ROOT or embedded:
        yield from _object_fields(properties, path, is_root=level == _ROOT)
    if embedded and not preserves and not properties:
        text = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        yield required(f"{path}.properties", text)
    any_of = document.get("anyOf") or []
    all_of = document.get("allOf") or []
    for branch, branch_path in _branches(document, path):
        if either and any_of == _INT_OR_STRING and any(branch is each for each in any_of):
            continue
        if either and all_of and branch is all_of[0] and branch.get("anyOf") == _INT_OR_STRING:
            continue
        yield from _nested(branch, branch_path)
    for child, child_path, child_level in children(document, path):
        yield from _structural(child, child_path, child_level)


def _extensions(either: bool, preserves: bool, embedded: bool, path: str) -> Iterator[FieldError]:
    because = "must be false if x-kubernetes-int-or-string is true"
    if either and preserves:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", True, because)
    if either and embedded:
        yield invalid(f"{path}.x-kubernetes-embedded-resource", True, because)


def _object_fields(properties: Object, path: str, *, is_root: bool) -> Iterator[FieldError]:
    for name in ("apiVersion", "kind"):
        declared = properties.get(name)
        if declared is not None and declared.get("type") != "string":
            yield invalid(f"{path}.properties[{name}].type", declared.get("type") or "", "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    place = f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        yield invalid(f"{place}.type", metadata.get("type") or "", "must be object")
    said = {key for key, value in metadata.items() if value not in (None, "", [], {}, False)}
    if said - {"type", "properties", "default"} or any(n not in _NAMED for n in metadata.get("properties") or ()):
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden(place, text)
    if is_root and metadata.get("default") is not None:
        yield forbidden(f"{place}.default", "must not be set in top-level metadata")


def _nested(document: Object, path: str) -> Iterator[FieldError]:
    """Below allOf, anyOf, oneOf and not, only validations of values are allowed."""
    for keyword, text in _NESTED_TEXTS:
        if document.get(keyword):
            yield forbidden(f"{path}.{keyword}", text)
    properties = document.get("properties") or {}
    if "metadata" in properties:
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
    for name, child in properties.items():
        yield from _nested(child, _property(path, name))
    if isinstance(document.get("items"), dict):
        yield from _nested(document["items"], below(path, ".items"))
    for branch, branch_path in _branches(document, path):
        yield from _nested(branch, branch_path)


# Defaults --------------------------------------------------------------------------------------------------------------


def _defaults(document: Object, schema: Schema, path: str, *, is_root: bool = False) -> list[FieldError]:
    errors: list[FieldError] = []
    if schema.has_default:
        errors += _default_errors(document, f"{path}.default", is_root=is_root)
    for name, child in schema.properties.items():
        errors += _defaults(document["properties"][name], child, _property(path, name))
    if schema.items is not None:
        errors += _defaults(document["items"], schema.items, below(path, ".items"))
    # Upstream does not look for defaults in additionalProperties.
    return errors


def _default_errors(document: Object, path: str, *, is_root: bool) -> list[FieldError]:
    # A separate schema, because its compiled form must not outlive this check.
    schema = from_openapi(document)
    if is_root:
        schema.embedded_resource = True
    value: Any = schema.default
    trimmed = orjson.loads(orjson.dumps(value))
    errors: list[FieldError] = []
    if prune(trimmed, schema):
        errors.append(invalid(path, value, "must not have unknown fields"))
        trimmed = orjson.loads(orjson.dumps(value))
    # As upstream: nested defaults do not complete a default, and its lists may have items twice.
    return errors + validate(trimmed, schema, path=path, lists=False)
