"""OpenAPI documents of a set of APIs: v3 for each group version, and v2 as one document.

The part that a type contributes is encoded once and cached with the version of the type. A document is put together from such
parts. So workspaces with different sets cost little, and a document that is never requested costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import orjson

from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.discovery import served
from tenantry.kube.objects import Object
from tenantry.kube.openapi import gnostic
from tenantry.kube.openapi.about import BUILT_IN_INFO, CUSTOM_INFO, SECURITY_SCHEMES
from tenantry.kube.openapi.fragment import FRAGMENTS, fragment, gnostic_fragment, is_made, swagger_fragment
from tenantry.kube.openapi.root_documents import root_document, root_paths
from tenantry.kube.openapi.swagger_paths import swagger_parameters

__all__ = ["FRAGMENTS", "digest", "document", "fragment", "index", "is_made", "root_document", "types", "v2", "v2_protobuf"]

_PIECE_BYTES = 64 << 10
"""Smaller parts of a document are joined; larger ones stay separate pieces and are not copied."""


def types(apis: ApiSet) -> Iterator[tuple[ResourceDefinition, Version]]:
    """All types that are served."""
    for group, versions in apis.groups().items():
        for version in versions:
            yield from served(apis, group, version)


def index(apis: ApiSet) -> Object:
    """`/openapi/v3`: the path of each document, with its hash."""
    hashes: dict[str, str] = {}
    for path in root_paths(apis):
        found = root_document(apis, path)
        assert found is not None
        hashes[path] = found[1]
    for group in sorted(apis.groups()):
        for version in sorted(apis.groups()[group]):
            hashes[f"apis/{group}/{version}" if group else f"api/{version}"] = digest(apis, group, version)
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashes[path]}"} for path in sorted(hashes)}}


def digest(apis: ApiSet, group: str, version: str) -> str:
    """The hash of a group version's document, 128 hexadecimal digits. It is computed from the hashes of the parts, without the
    document."""
    key = ("openapi", "digest", group, version)

    def made() -> str:
        whole = hashlib.sha512(f"{group}/{version}".encode())
        for definition, its_version in served(apis, group, version):
            whole.update(fragment(definition, its_version).digest)
        return whole.hexdigest().upper()

    return apis.document(key, made)


def document(apis: ApiSet, group: str, version: str) -> Iterator[bytes]:
    """`/openapi/v3/<group version>`: OpenAPI 3.0, encoded, in pieces. The group version must be served."""
    paths: dict[str, bytes] = {}
    schemas: dict[str, bytes] = {}
    for definition, its_version in served(apis, group, version):
        part = fragment(definition, its_version)
        paths.update(part.paths)
        schemas.update(part.schemas)
    custom = all(definition.custom for definition, _ in served(apis, group, version))
    about, security = (CUSTOM_INFO, b"") if custom else (BUILT_IN_INFO, b',"securitySchemes":%b' % orjson.dumps(SECURITY_SCHEMES))
    return _pieces(
        b'{"openapi":"3.0.0","info":%b,"paths":{' % orjson.dumps(about),
        paths,
        b'},"components":{"schemas":{',
        schemas,
        b"}%b}}" % security,
    )


def v2(apis: ApiSet) -> Iterator[bytes]:
    """`/openapi/v2`: Swagger 2.0 with all types, in pieces as `document`. An empty piece marks a place where the caller may give
    up its turn of the event loop."""
    paths: dict[str, bytes] = {}
    definitions: dict[str, bytes] = {}
    for definition, version in types(apis):
        part = swagger_fragment(definition, version)
        paths.update(part.paths)
        definitions.update(part.definitions)
        yield b""
    parameters = orjson.dumps(swagger_parameters())
    yield from _pieces(
        b'{"swagger":"2.0","info":%b,"paths":{' % orjson.dumps(BUILT_IN_INFO),
        paths,
        b'},"definitions":{',
        definitions,
        b'},"parameters":%b}' % parameters,
    )


def v2_protobuf(apis: ApiSet) -> Iterator[bytes]:
    """The document of `v2` in protobuf (`tenantry.kube.openapi.gnostic`)."""
    paths: dict[str, bytes] = {}
    definitions: dict[str, bytes] = {}
    for definition, version in types(apis):
        part = gnostic_fragment(definition, version)
        paths.update(part.paths)
        definitions.update(part.definitions)
        yield b""
    paths_bytes, definitions_bytes = (sum(map(len, entries.values())) for entries in (paths, definitions))
    before, between, behind = gnostic.document_parts(BUILT_IN_INFO, paths_bytes, definitions_bytes, swagger_parameters())
    yield before
    yield from _joined(paths)
    yield between
    yield from _joined(definitions)
    yield behind


def _joined(entries: Mapping[str, bytes]) -> Iterator[bytes]:
    small: list[bytes] = []
    size = 0
    for name in sorted(entries):
        entry = entries[name]
        if size + len(entry) > _PIECE_BYTES:
            yield b"".join(small)
            small, size = [], 0
        if len(entry) > _PIECE_BYTES:
            yield entry
        else:
            small.append(entry)
            size += len(entry)
    yield b"".join(small)


def _pieces(*parts: bytes | Mapping[str, bytes]) -> Iterator[bytes]:
    """Encoded JSON: the given members, and the members of each mapping by name."""
    small = bytearray()
    for part in parts:
        if isinstance(part, bytes):
            small += part
            continue
        comma = b""
        for name in sorted(part):
            small += b"%b%b:" % (comma, orjson.dumps(name))
            comma = b","
            if len(part[name]) < _PIECE_BYTES:
                small += part[name]
            if len(small) >= _PIECE_BYTES or len(part[name]) >= _PIECE_BYTES:
                yield bytes(small)
                small = bytearray()
            if len(part[name]) >= _PIECE_BYTES:
                yield part[name]
    yield bytes(small)
