"""`/openapi/v2` and `/openapi/v3[/<group version>]`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from email.utils import formatdate

import orjson

from tenantry.apiserver.endpoints.documents import Document, document, not_modified
from tenantry.apiserver.endpoints.plain import page_not_found
from tenantry.apiserver.http import Request, Response
from tenantry.apiserver.negotiation import TEXT
from tenantry.kube import openapi
from tenantry.kube.api_set import ApiSet

_PROTOBUF_V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_JSON = "application/json"
_YEAR_SECONDS = 365 * 24 * 3600


def serve(request: Request, apis: ApiSet, segments: Sequence[str], *, prefix: str) -> Response:
    """`prefix` is what precedes the path inside the scope (`/clusters/<id>`): a redirect has to name the whole path."""
    version = segments[1] if len(segments) > 1 else ""
    if version == "v2" and len(segments) == 2:
        return _v2(request, apis)
    if version != "v3":
        return page_not_found()
    if len(segments) == 2:
        return Response(200, _index(apis).body, TEXT, {"Vary": "Accept"}, compressible=True)
    return _v3(request, apis, segments[2:], prefix)


def _v2(request: Request, apis: ApiSet) -> Response:
    accept = request.header("accept")
    if _PROTOBUF_V2_ASKED in accept and _JSON not in accept:
        # kubectl up to 1.28 downloads this before every write and looks into it for merge keys only; an empty document makes it
        # go on with /openapi/v3 and with patches that the server computes.
        return Response(200, b"", _PROTOBUF_V2, {"Vary": "Accept"})
    if accept and not any(name in accept for name in (_JSON, "*/*", "application/*")):
        return Response(406, b"", "")
    digest = _v2_digest(apis)
    headers = {"ETag": f'"{digest}"', "Vary": "Accept"}
    if not_modified(request, digest):
        return Response(304, b"", _JSON, headers)
    # Not kept: it is put together from encoded parts, and each set of APIs would hold a megabyte.
    return Response(200, orjson.dumps(openapi.v2(apis)), _JSON, headers, compressible=True)


def _v2_digest(apis: ApiSet) -> str:
    parts = sorted(openapi.digest(apis, group, version) for group, versions in apis.groups().items() for version in versions)
    return hashlib.sha512("".join(parts).encode()).hexdigest().upper()


def _index(apis: ApiSet) -> Document:
    return document(apis, "openapi v3", lambda: orjson.dumps(openapi.index(apis)))


def _v3(request: Request, apis: ApiSet, segments: Sequence[str], prefix: str) -> Response:
    group, version = ("", segments[-1]) if segments[0] == "api" else (segments[1] if len(segments) > 1 else "", segments[-1])
    expected = ["api", version] if not group else ["apis", group, version]
    if list(segments) != expected or not apis.has(group, version):
        return Response(404, b"", "")
    digest = openapi.digest(apis, group, version)
    headers = {"ETag": f'"{digest}"', "Vary": "Accept"}
    asked = request.parameter("hash")
    if asked and asked != digest:
        headers["Location"] = f"{prefix}/openapi/v3/{'/'.join(segments)}?hash={digest}"
        return Response(301, b"", _JSON, headers)
    if asked:
        headers["Cache-Control"] = "public, immutable"
        headers["Expires"] = formatdate(time.time() + _YEAR_SECONDS, usegmt=True)
    if not_modified(request, digest):
        return Response(304, b"", _JSON, headers)
    return Response(200, orjson.dumps(openapi.document(apis, group, version)), _JSON, headers, compressible=True)
