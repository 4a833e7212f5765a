"""OpenAPI v3 documents of what is served beside resources: the lists of versions and groups, built-in groups, `/version`, and the
keys of service account tokens. They are made once in a process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import orjson

from tenantry.kube.api_set import ApiSet
from tenantry.kube.objects import Object
from tenantry.kube.openapi.about import BUILT_IN_INFO, SECURITY_SCHEMES
from tenantry.kube.openapi.components import V3, collect, meta_schema, reference
from tenantry.kube.openapi.paths import group_words
from tenantry.kube.schema.structural import Schema

_JSON, _KEY_SET = "application/json", "application/jwk-set+json"
_ALL = (_JSON, "application/vnd.kubernetes.protobuf", "application/yaml")
_TEXT = Schema(type="string")


def _texts(*names: str) -> dict[str, Schema]:
    return dict.fromkeys(names, _TEXT)


def _list_of(items: Schema) -> Schema:
    return Schema(type="array", items=items, list_type="atomic")


_ADDRESS = meta_schema("ServerAddressByClientCIDR", _texts("clientCIDR", "serverAddress"), ("clientCIDR", "serverAddress"))
_KIND = _texts("apiVersion", "kind")
_VERSIONS = meta_schema(
    "APIVersions",
    _KIND | {"versions": _list_of(_TEXT), "serverAddressByClientCIDRs": _list_of(_ADDRESS)},
    ("versions", "serverAddressByClientCIDRs"),
)
_VERSION = meta_schema("GroupVersionForDiscovery", _texts("groupVersion", "version"), ("groupVersion", "version"))
_GROUP = meta_schema(
    "APIGroup",
    _KIND
    | {
        "name": _TEXT,
        "versions": _list_of(_VERSION),
        "preferredVersion": _VERSION,
        "serverAddressByClientCIDRs": _list_of(_ADDRESS),
    },
    ("name", "versions"),
)
_GROUPS = meta_schema("APIGroupList", _KIND | {"groups": _list_of(_GROUP)}, ("groups",))
_RELEASE = ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
_INFO = Schema(
    type="object",
    properties=_texts(*_RELEASE, "emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"),
    required=_RELEASE,
    ref="io.k8s.apimachinery.pkg.version.Info",
)


class _Root(NamedTuple):
    tag: str
    identity: str
    description: str
    schema: Schema
    media_types: tuple[str, ...]


_ROOTS = {
    ".well-known/openid-configuration": _Root(
        "WellKnown", "getServiceAccountIssuerOpenIDConfiguration", "the issuer of service account tokens", _TEXT, (_JSON,)
    ),
    "api": _Root("core", "getCoreAPIVersions", "the versions of the core API", _VERSIONS, _ALL),
    "apis": _Root("apis", "getAPIVersions", "the API groups", _GROUPS, _ALL),
    "openid/v1/jwks": _Root(
        "openid", "getServiceAccountIssuerOpenIDKeyset", "the keys of service account tokens", _TEXT, (_KEY_SET,)
    ),
    "version": _Root("version", "getCodeVersion", "the version of the server", _INFO, (_JSON,)),
}


def root_paths(apis: ApiSet) -> Iterator[str]:
    """The paths of these documents, below `/openapi/v3/`. Groups that have custom types only have none (upstream)."""
    yield from _ROOTS
    for group in apis.groups():
        if group and any(not definition.custom for definition in apis.of_group(group)):
            yield f"apis/{group}"


def root_document(apis: ApiSet, path: str) -> tuple[bytes, str] | None:
    """The document at a path, and its hash; None if there is none."""
    return _made(path) if path in root_paths(apis) else None


@cache
def _made(path: str) -> tuple[bytes, str]:
    root = _ROOTS.get(path) or _group(path.removeprefix("apis/"))
    shown = reference(root.schema, V3) if root.schema.ref else {"type": root.schema.type}
    operation: Object = {
        "tags": [root.tag],
        "description": root.description,
        "operationId": root.identity,
        "responses": {
            "200": {"description": "OK", "content": {media_type: {"schema": shown} for media_type in root.media_types}},
            "401": {"description": "Unauthorized"},
        },
    }
    components: Object = {"securitySchemes": SECURITY_SCHEMES}
    if root.schema.ref:
        components = {"schemas": collect([root.schema], V3)} | components
    made: Object = {
        "openapi": "3.0.0",
        "info": BUILT_IN_INFO,
        "paths": {f"/{path}/": {"get": operation}},
        "components": components,
    }
    encoded = orjson.dumps(made)
    return encoded, hashlib.sha512(encoded).hexdigest().upper()


def _group(name: str) -> _Root:
    words = group_words(name)
    return _Root(f"{words[:1].lower()}{words[1:]}", f"get{words}APIGroup", "the group with its versions", _GROUP, _ALL)
