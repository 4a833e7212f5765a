"""OpenAPI v3 schema documents (JSONSchemaProps of CRDs) to `Schema` and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.objects import Object
from tenantry.kube.schema.structural import Rule, Schema

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]

_PLAIN = (
    ("type", "type"),
    ("format", "format"),
    ("title", "title"),
    ("description", "description"),
    ("nullable", "nullable"),
    ("pattern", "pattern"),
    ("minimum", "minimum"),
    ("maximum", "maximum"),
    ("exclusiveMinimum", "exclusive_minimum"),
    ("exclusiveMaximum", "exclusive_maximum"),
    ("multipleOf", "multiple_of"),
    ("minLength", "min_length"),
    ("maxLength", "max_length"),
    ("minItems", "min_items"),
    ("maxItems", "max_items"),
    ("uniqueItems", "unique_items"),
    ("minProperties", "min_properties"),
    ("maxProperties", "max_properties"),
    ("example", "example"),
    ("externalDocs", "external_docs"),
    ("x-kubernetes-preserve-unknown-fields", "preserve_unknown"),
    ("x-kubernetes-embedded-resource", "embedded_resource"),
    ("x-kubernetes-int-or-string", "int_or_string"),
    ("x-kubernetes-list-type", "list_type"),
    ("x-kubernetes-map-type", "map_type"),
    ("x-kubernetes-patch-merge-key", "patch_merge_key"),
)
_SEVERAL = (("allOf", "all_of"), ("anyOf", "any_of"), ("oneOf", "one_of"))


def from_openapi(doc: Object) -> Schema:
    """The schema of a JSONSchemaProps document. The document must be valid (see `validate_crd`)."""
    values: dict[str, Any] = {name: doc[key] for key, name in _PLAIN if doc.get(key) is not None}
    schema = Schema(**values)
    if doc.get("properties"):
        schema.properties = {name: from_openapi(child) for name, child in doc["properties"].items()}
    additional = doc.get("additionalProperties")
    if isinstance(additional, dict):
        schema.additional = from_openapi(additional)
    elif additional is not None:
        schema.additional = bool(additional)
    if isinstance(doc.get("items"), dict):
        schema.items = from_openapi(doc["items"])
    if doc.get("required"):
        schema.required = tuple(doc["required"])
    if doc.get("default") is not None:
        schema.default, schema.has_default = doc["default"], True
    if doc.get("enum"):
        schema.enum = tuple(doc["enum"])
    for key, name in _SEVERAL:
        members = doc.get(key)
        if members and not (schema.int_or_string and key == "anyOf" and members == _INT_OR_STRING):
            setattr(schema, name, tuple(from_openapi(m) for m in members))
    if doc.get("not") is not None:
        schema.not_ = from_openapi(doc["not"])
    if doc.get("x-kubernetes-list-map-keys"):
        schema.list_map_keys = tuple(doc["x-kubernetes-list-map-keys"])
    if doc.get("x-kubernetes-patch-strategy"):
        schema.patch_strategy = tuple(doc["x-kubernetes-patch-strategy"].split(","))
    schema.rules = tuple(rule_from_object(r) for r in doc.get("x-kubernetes-validations") or ())
    return schema


def rule_from_object(rule: Object) -> Rule:
    return Rule(
        rule=rule.get("rule") or "",
        message=rule.get("message") or "",
        message_expression=rule.get("messageExpression") or "",
        reason=rule.get("reason") or "",
        field_path=rule.get("fieldPath") or "",
        optional_old_self=rule.get("optionalOldSelf"),
    )


def to_openapi(schema: Schema, refer: Callable[[Schema], Object | None] | None = None, *, v2: bool = False) -> Object:
    """The OpenAPI document of a schema.

    `refer` is called for each node below the root and may return a replacement (a `$ref`). With `v2`, parts that Swagger 2.0 does
    not support are left out, as upstream does: nullable, anyOf and similar, defaults, and everything below nodes that keep
    unknown fields.
    """
    doc: Object = {}
    for key, name in _PLAIN:
        value = getattr(schema, name)
        # A bound of 0 is one.
        if value is not None and value is not False and value != "":
            doc[key] = value
    if schema.properties:
        doc["properties"] = {name: _child(child, refer, v2) for name, child in schema.properties.items()}
    if isinstance(schema.additional, Schema):
        doc["additionalProperties"] = _child(schema.additional, refer, v2)
    elif schema.additional is not None:
        doc["additionalProperties"] = schema.additional
    if schema.items is not None:
        doc["items"] = _child(schema.items, refer, v2)
    if schema.required:
        doc["required"] = list(schema.required)
    if schema.enum is not None:
        doc["enum"] = list(schema.enum)
    if schema.list_map_keys:
        doc["x-kubernetes-list-map-keys"] = list(schema.list_map_keys)
    if schema.patch_strategy:
        doc["x-kubernetes-patch-strategy"] = ",".join(schema.patch_strategy)
    if schema.rules:
        doc["x-kubernetes-validations"] = [_rule_to_object(r) for r in schema.rules]
    if v2:
        return _swagger(doc, schema)
    # Null is not a default. It means that the field is always written.
    if schema.has_default and schema.default is not None:
        doc["default"] = schema.default
    for key, name in _SEVERAL:
        members = getattr(schema, name)
        if members:
            doc[key] = [_child(m, refer, v2) for m in members]
    if schema.not_ is not None:
        doc["not"] = _child(schema.not_, refer, v2)
    if schema.int_or_string and "anyOf" not in doc:
        doc["anyOf"] = [dict(m) for m in _INT_OR_STRING]
    return doc


def _child(schema: Schema, refer: Callable[[Schema], Object | None] | None, v2: bool) -> Object:
    if refer is not None:
        place = refer(schema)
        if place is not None:
            return place
    return to_openapi(schema, refer, v2=v2)


def _swagger(doc: Object, schema: Schema) -> Object:
    if doc.pop("nullable", None):
        # A Swagger 2.0 client refuses null for a field with a type.
        for key in ("type", "items", "properties"):
            doc.pop(key, None)
    if schema.preserve_unknown:
        # kubectl would refuse fields that are not listed.
        for key in ("properties", "items"):
            doc.pop(key, None)
        if schema.type == "object":
            doc.pop("type", None)
    if "items" not in doc and schema.type == "array":
        doc.pop("type", None)
    if "required" in doc:
        _require_no_nulls(doc, schema)
    return doc


def _require_no_nulls(doc: Object, schema: Schema) -> None:
    """A field that may be null is not required, where its schema is shown."""
    shown = doc.get("properties", {})
    required = [name for name in doc["required"] if name not in shown or not schema.properties[name].nullable]
    if not required or (isinstance(schema.additional, Schema) and schema.additional.nullable):
        del doc["required"]
    else:
        doc["required"] = required


def _rule_to_object(rule: Rule) -> Object:
    doc: Object = {"rule": rule.rule}
    if rule.message:
        doc["message"] = rule.message
    if rule.message_expression:
        doc["messageExpression"] = rule.message_expression
    if rule.reason:
        doc["reason"] = rule.reason
    if rule.field_path:
        doc["fieldPath"] = rule.field_path
    if rule.optional_old_self is not None:
        doc["optionalOldSelf"] = rule.optional_old_self
    return doc
