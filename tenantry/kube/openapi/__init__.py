"""OpenAPI documents of a set of APIs: v3 for each group version, and v2 as one document.

What a type contributes is made once and kept, encoded, with the type's version; a set of APIs only puts parts together. So
workspaces with different sets cost little, and a document that nobody asks for costs nothing.
"""

from __future__ import annotations

import hashlib

import orjson

from tenantry.kube.api_set import ApiSet
from tenantry.kube.discovery import served
from tenantry.kube.objects import Object
from tenantry.kube.openapi.fragment import fragment, swagger_fragment

__all__ = ["digest", "document", "index", "v2"]

_INFO = {"title": "Kubernetes", "version": "v1.33.0"}


def index(apis: ApiSet) -> Object:
    """`/openapi/v3`: where each group version's document is, with its hash."""
    paths: Object = {}
    for group in sorted(apis.groups()):
        for version in sorted(apis.groups()[group]):
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest(apis, group, version)}"}
    return {"paths": paths}


def digest(apis: ApiSet, group: str, version: str) -> str:
    """The hash of a group version's document, 128 hexadecimal digits; made of its parts' hashes, without the document."""
    key = ("openapi", "digest", group, version)

    def made() -> str:
        whole = hashlib.sha512(f"{group}/{version}".encode())
        for definition, its_version in served(apis, group, version):
            whole.update(fragment(definition, its_version).digest)
        return whole.hexdigest().upper()

    return apis.document(key, made)


def document(apis: ApiSet, group: str, version: str) -> Object:
    """`/openapi/v3/<group version>`: OpenAPI 3.0. Its parts are `orjson.Fragment`s: encode it with orjson.

    The set must serve the group version.
    """
    paths: Object = {}
    schemas: Object = {}
    for definition, its_version in served(apis, group, version):
        part = fragment(definition, its_version)
        for path, encoded in part.paths.items():
            paths[path] = orjson.Fragment(encoded)
        for name, encoded in part.schemas.items():
            schemas[name] = orjson.Fragment(encoded)
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {"schemas": {name: schemas[name] for name in sorted(schemas)}},
    }


def v2(apis: ApiSet) -> Object:
    """`/openapi/v2`: Swagger 2.0 with the definitions of all types and no paths. Encode it with orjson, as `document`."""
    definitions: Object = {}
    for group, versions in apis.groups().items():
        for version in versions:
            for definition, its_version in served(apis, group, version):
                for name, encoded in swagger_fragment(definition, its_version).items():
                    definitions[name] = orjson.Fragment(encoded)
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {},
        "definitions": {name: definitions[name] for name in sorted(definitions)},
    }
