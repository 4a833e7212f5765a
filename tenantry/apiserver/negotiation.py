"""Content negotiation: which representation an Accept header asks for, and which format a body has.

The rules are those of k8s.io/apiserver's negotiation: clauses in order of their q, a media type that is served, and for `as=` a
transformation that exists. Built-in types are protobuf too; of custom types only the metadata is. A Table is never protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from tenantry.apiserver.request import Request
from tenantry.base.cache import cached
from tenantry.http.messages import Response
from tenantry.kube.codec import protobuf_encoding, yaml_codec
from tenantry.kube.status import PlainError, StatusError, not_acceptable, unsupported_media_type

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

TABLE = "Table"
PARTIAL = "PartialObjectMetadata"
PARTIAL_LIST = "PartialObjectMetadataList"

_SERVED = (JSON, YAML, PROTOBUF)
_WATCHED = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
_TRANSFORMATIONS = frozenset((TABLE, PARTIAL, PARTIAL_LIST))
_PROTOBUF_TRANSFORMATIONS = frozenset((PARTIAL, PARTIAL_LIST))
_TRANSFORMATION_VERSIONS = frozenset(("v1", "v1beta1"))


@dataclass(frozen=True, slots=True)
class Representation:
    """The form of an answer. `media_type` is JSON, YAML or PROTOBUF. `transformation` is empty, Table, PartialObjectMetadata or
    PartialObjectMetadataList of meta.k8s.io/`version`."""

    media_type: str = JSON
    transformation: str = ""
    version: str = ""

    @property
    def plain(self) -> bool:
        """Whether the answer is JSON of the object itself, which can be served without decoding the stored value."""
        return not self.transformation and self.media_type == JSON

    @property
    def api_version(self) -> str:
        return f"meta.k8s.io/{self.version}"


PLAIN = Representation()
_PROTOBUF = Representation(PROTOBUF)


@dataclass(frozen=True, slots=True)
class _Clause:
    media_type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def parameter(self, name: str) -> str:
        for key, value in self.parameters:
            if key == name:
                return value
        return ""


def negotiate(accept: str, *, watch: bool = False, custom: bool = True, protobuf: bool = False) -> Representation:
    """The representation for an Accept header. `custom`: whether it is a custom resource, for which upstream's error texts
    differ. `protobuf`: whether it has a protobuf message of its own.

    Raises StatusError 406.
    """
    if not accept or accept == "*/*" or accept == JSON:
        return PLAIN
    if accept == PROTOBUF and protobuf:
        return _PROTOBUF
    return _negotiated(accept, watch, custom, protobuf)


@cached("negotiated", bytes_max=256 << 10)
def _negotiated(accept: str, watch: bool, custom: bool, protobuf: bool) -> Representation:
    clauses = _clauses(accept)
    if not custom and not any(clause.media_type in _SERVED or clause.media_type == "*/*" for clause in clauses):
        raise _not_routed((*_SERVED, *_WATCHED) if watch else _SERVED)
    listed = False
    for clause in clauses:
        found = _representation(clause, protobuf)
        if found is not None and watch and found.media_type == YAML:
            listed = True
        elif found is not None:
            return found
    raise not_acceptable(_WATCHED if listed else _SERVED)


def _representation(clause: _Clause, protobuf: bool) -> Representation | None:
    """What one clause of the header asks for, None where that is not served."""
    media_type = {"*/*": JSON, "application/*": JSON}.get(clause.media_type, clause.media_type)
    if media_type not in _SERVED:
        return None
    wanted = clause.parameter("as")
    if not wanted:
        return Representation(media_type) if media_type != PROTOBUF or protobuf else None
    version = clause.parameter("v")
    exists = wanted in (_TRANSFORMATIONS if media_type != PROTOBUF else _PROTOBUF_TRANSFORMATIONS)
    if exists and version in _TRANSFORMATION_VERSIONS and clause.parameter("g") == "meta.k8s.io":
        return Representation(media_type, wanted, version)
    return None


def require_json(request: Request) -> None:
    """Raises StatusError 406 where the client does not accept JSON, for documents that are nothing else."""
    accept = request.header("accept")
    if accept and not any(clause.media_type in (JSON, "*/*") for clause in _clauses(accept)):
        raise _not_routed((JSON,))


def _not_routed(offered: Iterable[str]) -> StatusError:
    """The error of upstream's routes, which look at media types before they call a handler."""
    text = f"406: Not Acceptable\n\nAvailable representations: {', '.join(offered)}"
    return StatusError(406, "NotAcceptable", text, details={})


def body_media_type(request: Request) -> str:
    """The format of a body; JSON where the request has no Content-Type. Raises StatusError 415."""
    header = request.header("content-type")
    if not header or header == JSON:
        return JSON
    media_type = header.partition(";")[0].strip().lower()
    if media_type not in _SERVED:
        raise unsupported_media_type(_SERVED)
    return media_type


def patch_media_type(request: Request, *, custom: bool) -> str:
    """The kind of patch. Raises StatusError 415. Strategic merge patch is only for built-in types."""
    media_type = request.header("content-type").partition(";")[0].strip().lower()
    if media_type in (JSON_PATCH, MERGE_PATCH, APPLY_PATCH):
        return media_type
    if custom:
        raise unsupported_media_type((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
    if media_type != STRATEGIC_PATCH:
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    return media_type


def encode(value: Any, media_type: str = JSON, *, pretty: bool = False) -> bytes:
    """A JSON value in a media type that `negotiate` returned."""
    if media_type == YAML:
        return yaml_codec.encode(value)
    if media_type == PROTOBUF:
        return protobuf_encoding.encode(value)
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) if pretty else orjson.dumps(value)


def is_pretty(request: Request) -> bool:
    """`?pretty=true`."""
    return "pretty" in request.raw_query and "pretty" in request.query and request.parameter("pretty") not in ("false", "0")


def error_response(error: StatusError, request: Request, warnings: Iterable[str] = ()) -> Response:
    """A StatusError as an answer: a Status in JSON, in YAML or protobuf for clients that prefer it, or plain text. Its list
    metadata (410) and Retry-After (429) are kept."""
    if request.audit is not None and not isinstance(error, PlainError):
        request.audit.failed(error)
    if isinstance(error, PlainError):
        headers = {**error.headers, "X-Content-Type-Options": "nosniff"}
        return Response(error.code, f"{error.message}\n".encode(), TEXT, headers, list(warnings))
    media_type = _error_media_type(request.header("accept"))
    return Response(error.code, encode(error.to_object(), media_type), media_type, dict(error.headers), list(warnings))


def _error_media_type(accept: str) -> str:
    if YAML not in accept and PROTOBUF not in accept:
        return JSON
    for clause in _clauses(accept):
        # A Status cannot be a Table or PartialObjectMetadata.
        if not clause.parameter("as"):
            if clause.media_type in _SERVED:
                return clause.media_type
            if clause.media_type in ("*/*", "application/*"):
                return JSON
    return JSON


@cached("accept_headers", bytes_max=256 << 10)
def _clauses(accept: str) -> tuple[_Clause, ...]:
    clauses: list[_Clause] = []
    for text in accept.split(","):
        media_type, *raw = (part.strip() for part in text.split(";"))
        parameters: list[tuple[str, str]] = []
        quality = 1.0
        for parameter in raw:
            key, _, value = parameter.partition("=")
            if key == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 1.0
            else:
                parameters.append((key, value))
        if media_type:
            clauses.append(_Clause(media_type, tuple(parameters), quality))
    return tuple(sorted(clauses, key=lambda clause: -clause.quality))
