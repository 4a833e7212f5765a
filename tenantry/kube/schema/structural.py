"""Structural schemas: the shape of an object.

The same schema is used for validation, defaulting, pruning, server-side apply, strategic merge and OpenAPI, for built-in and
custom types. `from_openapi` (in `tenantry.kube.schema.parse`) makes it from an OpenAPI v3 document. Built-in types make it from
their message tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False, kw_only=True)
class Rule:
    """One entry of x-kubernetes-validations (KEP-2876)."""

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Schema:
    """One node of a schema. `type` is object, array, string, integer, number, boolean, or empty for any value.

    `additional` is the schema of map values, True where any value is allowed, False where none is, None where the object is not a
    map. `list_type` is atomic, set, map or empty (means atomic). `map_type` is granular, atomic or empty (means granular).
    `patch_strategy` has the words of strategic merge (merge, replace, retainKeys), with `patch_merge_key`.
    """

    type: str = ""
    format: str = ""
    title: str = ""
    description: str = ""
    properties: dict[str, Schema] = field(default_factory=dict)
    additional: Schema | bool | None = None
    items: Schema | None = None
    required: tuple[str, ...] = ()
    nullable: bool = False
    default: Any = None
    has_default: bool = False
    enum: tuple[Any, ...] | None = None
    pattern: str = ""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    unique_items: bool = False
    min_properties: int | None = None
    max_properties: int | None = None
    all_of: tuple[Schema, ...] = ()
    any_of: tuple[Schema, ...] = ()
    one_of: tuple[Schema, ...] = ()
    not_: Schema | None = None
    preserve_unknown: bool = False
    embedded_resource: bool = False
    int_or_string: bool = False
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_strategy: tuple[str, ...] = ()
    patch_merge_key: str = ""
    rules: tuple[Rule, ...] = ()
    example: Any = None
    external_docs: Any = None
    ref: str = ""
    """The name of a shared component in OpenAPI documents, for example io.k8s.api.core.v1.ConfigMap; empty when inline."""
    compiled: dict[str, Any] | None = field(default=None, repr=False)
    """The functions that this node was compiled to, by purpose; see `tenantry.kube.schema.compiled`."""
