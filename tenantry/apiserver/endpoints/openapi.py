"""`/openapi/v2` and `/openapi/v3[/<group version>]`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import formatdate
from functools import partial

import orjson

from tenantry.apiserver.deferred import SharedWork
from tenantry.apiserver.endpoints.documents import Document, document, not_modified
from tenantry.apiserver.endpoints.plain import page_not_found
from tenantry.apiserver.negotiation import TEXT
from tenantry.apiserver.request import Request
from tenantry.base.time_slices import in_slices
from tenantry.http.messages import Response
from tenantry.kube import openapi
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.discovery import served

_PROTOBUF_V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_JSON = "application/json"
_V3_TYPES = {_JSON: _JSON, "*/*": _JSON, "application/*": _JSON}
"""What is asked for → what is answered."""
_V2_TYPES = {**_V3_TYPES, _PROTOBUF_V2_ASKED: _PROTOBUF_V2, _PROTOBUF_V2: _PROTOBUF_V2}
"""What is asked for has a `@`, which is no character of a media type, so what is answered has none (upstream)."""
_YEAR_SECONDS = 365 * 24 * 3600
_AT_ONCE_BYTES = 64 << 10
"""The part of a larger definition is made in a thread."""
_AT_ONCE_PIECES = 8
"""How many pieces are copied at once, of at most 64 KiB each."""
_makers = SharedWork()


async def serve(request: Request, apis: ApiSet, segments: Sequence[str], *, prefix: str) -> Response:
    """The document at a path. `prefix` is what comes before the path inside the scope (`/clusters/<id>`): a redirect has to name
    the whole path. Raises StatusError."""
    version = segments[1] if len(segments) > 1 else ""
    if version == "v2" and len(segments) == 2:
        return await _v2(request, apis)
    if version != "v3":
        return page_not_found()
    if len(segments) == 2:
        return await _index(request, apis)
    return await _v3(request, apis, segments[2:], prefix)


async def _v2(request: Request, apis: ApiSet) -> Response:
    media_type = _accepted(request.header("accept"), _V2_TYPES)
    if not media_type:
        return Response(406, b"", "")
    digest = (await _v2_digest(apis, media_type)).digest
    headers = {"ETag": f'"{digest}"', "Vary": "Accept"}
    if not_modified(request, digest):
        return Response(304, b"", media_type, headers)
    if media_type == _JSON:
        await _make(apis, openapi.types(apis), "v2")
        return await _document(openapi.v2(apis), headers)
    await _make(apis, openapi.types(apis), "gnostic")
    return await _document(openapi.v2_protobuf(apis), headers, media_type)


def _accepted(accept: str, served: Mapping[str, str]) -> str:
    """The form of the document that is asked for first, empty where none is served."""
    if not accept:
        return _JSON
    clauses = [clause.partition(";")[0].strip() for clause in accept.split(",")]
    return next((served[clause] for clause in clauses if clause in served), "")


async def _v2_digest(apis: ApiSet, media_type: str) -> Document:
    def digests() -> bytes:
        places = [(group, version) for group, versions in apis.groups().items() for version in versions]
        return "".join([media_type, *sorted(openapi.digest(apis, *place) for place in places)]).encode()

    return await document(apis, f"openapi v2 {media_type}", digests, partial(_make_all, apis))


async def _index(request: Request, apis: ApiSet) -> Response:
    """It has no entity tag, and was modified at the time of the request (upstream's aggregator)."""
    made = await document(apis, "openapi v3", lambda: orjson.dumps(openapi.index(apis)), partial(_make_all, apis))
    headers = {"Last-Modified": formatdate(usegmt=True)}
    if request.header("if-none-match") == "*":
        return Response(304, b"", TEXT, headers)
    return Response(200, made.body, TEXT, headers, compressible=True)


async def _make_all(apis: ApiSet) -> None:
    await _make(apis, openapi.types(apis))


async def _make(apis: ApiSet, types: Iterable[tuple[ResourceDefinition, Version]], form: str = "v3") -> None:
    """Makes the parts of the document that these types contribute, and caches them with the types. Works in slices; large parts
    are made in a thread, and those of built-in types, which are made once in a process."""
    made = openapi.FRAGMENTS[form]

    async def make() -> None:
        async for definition, version in in_slices(missing, 1):
            if openapi.is_made(definition, version, form):
                continue
            if not definition.custom or definition.memory_bytes > _AT_ONCE_BYTES:
                await asyncio.to_thread(made, definition, version)
            else:
                made(definition, version)

    missing = [pair async for pair in in_slices(types) if not openapi.is_made(*pair, form)]
    while missing:
        await _makers.run(f"{apis.number} {form}", make)
        missing = [pair for pair in missing if not openapi.is_made(*pair, form)]


async def _document(pieces: Iterator[bytes], headers: dict[str, str], media_type: str = _JSON) -> Response:
    """The whole document. It is not cached: it is put together from cached parts, and a copy for each set of APIs would take a
    megabyte."""
    first, *more = [piece async for piece in in_slices(pieces, _AT_ONCE_PIECES) if piece]
    return Response(200, first, media_type, headers, compressible=True, more=more)


async def _v3(request: Request, apis: ApiSet, segments: Sequence[str], prefix: str) -> Response:
    if not _accepted(request.header("accept"), _V3_TYPES):
        return Response(406, b"", "", {"Vary": "Accept"})
    place = "/".join(segments)
    root = openapi.root_document(apis, place)
    if root is not None:
        whole, digest = root
        return _unchanged(request, place, digest, prefix) or Response(
            200, whole, _JSON, _headers(request, digest), compressible=True
        )
    group, version = ("", segments[-1]) if segments[0] == "api" else (segments[1] if len(segments) > 1 else "", segments[-1])
    expected = ["api", version] if not group else ["apis", group, version]
    if list(segments) != expected or not apis.has(group, version):
        return Response(404, b"", "")
    await _make(apis, served(apis, group, version))
    digest = openapi.digest(apis, group, version)
    unchanged = _unchanged(request, place, digest, prefix)
    return unchanged or await _document(openapi.document(apis, group, version), _headers(request, digest))


def _unchanged(request: Request, place: str, digest: str, prefix: str) -> Response | None:
    """The answer where no document is sent: the client asks for another hash than that of now, or has the document already."""
    asked = request.parameter("hash")
    headers = _headers(request, digest)
    if asked and asked != digest:
        headers["Location"] = f"{prefix}/openapi/v3/{place}?hash={digest}"
        return Response(301, b"", _JSON, headers)
    return Response(304, b"", _JSON, headers) if not_modified(request, digest) else None


def _headers(request: Request, digest: str) -> dict[str, str]:
    headers = {"ETag": f'"{digest}"', "Vary": "Accept"}
    if request.parameter("hash") == digest:
        headers["Cache-Control"] = "public, immutable"
        headers["Expires"] = formatdate(time.time() + _YEAR_SECONDS, usegmt=True)
    return headers
