"""The part of OpenAPI documents for one version of a type, encoded and cached with the version by the verbs of the type: views
that serve fewer verbs share the versions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import orjson

from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.exact import exact
from tenantry.kube.message_tables import OBJECT_META
from tenantry.kube.objects import Object
from tenantry.kube.openapi import gnostic
from tenantry.kube.openapi.components import (
    DELETE_OPTIONS_SCHEMA,
    LIST_META,
    LIST_METADATA_TEXT,
    LIST_TEXT,
    PATCH,
    SCALE,
    STATUS,
    V2,
    V3,
    Form,
    collect,
    describe_embedded,
    describe_root,
    described,
    reference,
)
from tenantry.kube.openapi.paths import paths
from tenantry.kube.openapi.swagger_paths import swagger_item
from tenantry.kube.schema.structural import Schema

_EVERYWHERE = (OBJECT_META.schema, LIST_META, PATCH, STATUS, DELETE_OPTIONS_SCHEMA)
"""What the paths and components of every type refer to."""


class Fragment(NamedTuple):
    """Encoded path items by path, encoded components by name, and a hash of both."""

    paths: dict[str, bytes]
    schemas: dict[str, bytes]
    digest: bytes


class SwaggerFragment(NamedTuple):
    """Encoded path items by path, and encoded definitions by name."""

    paths: dict[str, bytes]
    definitions: dict[str, bytes]


def fragment(definition: ResourceDefinition, version: Version) -> Fragment:
    """The OpenAPI v3 part of a version."""
    key = ("openapi.v3", definition.verbs)
    known: Fragment | None = version.memo.get(key)
    if known is None:
        known = version.memo[key] = _build(definition, version)
    return known


def is_made(definition: ResourceDefinition, version: Version, form: str) -> bool:
    """Whether the function of `FRAGMENTS` for a form has its result in the cache."""
    return (f"openapi.{form}", definition.verbs) in version.memo


def swagger_fragment(definition: ResourceDefinition, version: Version) -> SwaggerFragment:
    """The Swagger 2.0 part of a version, in JSON."""
    key = ("openapi.v2", definition.verbs)
    known: SwaggerFragment | None = version.memo.get(key)
    if known is None:
        known = version.memo[key] = SwaggerFragment(
            {path: exact(orjson.dumps(item)) for path, item in _swagger_paths(definition, version).items()},
            _encoded(definition, version, V2, _json),
        )
    return known


def gnostic_fragment(definition: ResourceDefinition, version: Version) -> SwaggerFragment:
    """The Swagger 2.0 part of a version, in protobuf."""
    key = ("openapi.gnostic", definition.verbs)
    known: SwaggerFragment | None = version.memo.get(key)
    if known is None:
        known = version.memo[key] = SwaggerFragment(
            {path: gnostic.path_entry(path, item) for path, item in _swagger_paths(definition, version).items()},
            _encoded(definition, version, V2, gnostic.definition_entry),
        )
    return known


FRAGMENTS: Mapping[str, Callable[[ResourceDefinition, Version], object]] = {
    "v3": fragment,
    "v2": swagger_fragment,
    "gnostic": gnostic_fragment,
}
"""What makes the part of a version, by the form of the document."""


def _swagger_paths(definition: ResourceDefinition, version: Version) -> dict[str, Object]:
    items = paths(definition, version, _name(definition, version))
    return {path: swagger_item(item) for path, item in items.items()}


def _build(definition: ResourceDefinition, version: Version) -> Fragment:
    items = paths(definition, version, _name(definition, version))
    encoded_paths = {path: exact(orjson.dumps(item)) for path, item in items.items()}
    schemas = _encoded(definition, version, V3, _json)
    content = hashlib.sha512()
    for part in (encoded_paths, schemas):
        for name in sorted(part):
            content.update(name.encode())
            content.update(part[name])
    return Fragment(encoded_paths, schemas, content.digest())


def _json(name: str, made: Object) -> bytes:
    return exact(orjson.dumps(made))


def _encoded(
    definition: ResourceDefinition, version: Version, form: Form, encode: Callable[[str, Object], bytes]
) -> dict[str, bytes]:
    """The components of a version, with those that all types need. These are encoded once in a process."""
    shared = _shared(form, "scale" in version.subresources, encode)
    own = _components(definition, version, form)
    return dict(shared) | {name: encode(name, made) for name, made in own.items()}


@cache
def _shared(form: Form, scale: bool, encode: Callable[[str, Object], bytes]) -> Mapping[str, bytes]:
    if scale:
        same = _shared(form, False, encode)
        return dict(same) | {name: encode(name, made) for name, made in collect([SCALE], form, same).items()}
    return {name: encode(name, made) for name, made in collect(_EVERYWHERE, form).items()}


def _name(definition: ResourceDefinition, version: Version) -> str:
    if version.schema.ref:
        return version.schema.ref
    group = [*reversed(definition.group.split("."))] if definition.group else ["core"]
    return ".".join([*group, version.name, definition.kind])


def _components(definition: ResourceDefinition, version: Version, form: Form) -> dict[str, Object]:
    name = _name(definition, version)
    root = version.schema if version.schema.ref else _named(version.schema, name)
    found = collect([root], form, without=_shared(form, "scale" in version.subresources, _json))
    own = dict(found[name])
    if form.v2 and definition.custom and root.preserve_unknown:
        # kubectl would refuse fields that are not listed (upstream).
        own = {"type": "object"}
    else:
        describe_root(own, form)
        describe_embedded(own, form)
    if not definition.custom and not form.v2:
        own["properties"]["metadata"]["default"] = {}
    own["x-kubernetes-group-version-kind"] = [_kind(definition.group, version.name, definition.kind)]
    own.update(_selectable(definition, version))
    found[name] = own
    if "list" in definition.verbs:
        found[f"{name.removesuffix(definition.kind)}{definition.list_kind}"] = _list(definition, version, root, form)
    return found


def _named(schema: Schema, name: str) -> Schema:
    return Schema(type="object", properties=schema.properties, preserve_unknown=schema.preserve_unknown, ref=name)


def _list(definition: ResourceDefinition, version: Version, root: Schema, form: Form) -> Object:
    component: Object = {
        "description": f"{definition.list_kind} is a list of {definition.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "description": f"List of {definition.plural}. {LIST_TEXT}",
                "type": "array",
                "items": reference(root, form),
            }
        },
        "x-kubernetes-group-version-kind": [_kind(definition.group, version.name, definition.list_kind)],
        **_selectable(definition, version),
    }
    describe_root(component, form)
    metadata = component["properties"]["metadata"] = described(reference(LIST_META, form), LIST_METADATA_TEXT, form)
    if not definition.custom and not form.v2:
        metadata["default"] = {}
    return component


def _selectable(definition: ResourceDefinition, version: Version) -> Object:
    """The extension with the fields of a custom type that field selectors may name (KEP-4358)."""
    if not definition.custom or not version.selectable:
        return {}
    return {"x-kubernetes-selectable-fields": [{"fieldPath": path} for path in version.selectable]}


def _kind(group: str, version: str, kind: str) -> Object:
    return {"group": group, "kind": kind, "version": version}
