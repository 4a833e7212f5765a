"""Decodes request bodies: JSON, YAML or protobuf."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.negotiation import JSON, YAML
from tenantry.apiserver.worker_threads import run_weighed, weigh
from tenantry.http.limits import Limits
from tenantry.kube.codec import json_codec, json_size, protobuf, yaml_codec
from tenantry.kube.codec.byte_count import count_byte
from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH
from tenantry.kube.status import too_many_values

BODY_LIMIT_BYTES = Limits().body_bytes
_SLOW_AT_ONCE_BYTES = 4 * 1024
"""Python needs about a microsecond for each byte of YAML and protobuf. Larger bodies are decoded in a thread."""


async def parse(
    body: bytes, media_type: str, kind: str = "", *, duplicates: bool = False, tenant: str = "", api_version: str = ""
) -> tuple[Any, list[str]]:
    """The value in a body, and texts about duplicate keys where these are asked for. `tenant` is the tenant whose share of worker
    threads is used. `kind` and `api_version` are those of a protobuf body that names none.

    Raises StatusError 400, and 413 for too many values.
    """
    weight = weigh_body(body, media_type)

    def decoded() -> tuple[Any, list[str]]:
        return parse_at_once(body, media_type, kind, duplicates, api_version=api_version)

    return await run_weighed(tenant, weight, decoded, begins=True)


def weigh_body(body: bytes, media_type: str) -> int:
    """The weight of decoding a body, in the unit of `work.weigh`."""
    weight = weigh(body)
    # YAML and protobuf are decoded in Python, which is slow for each byte.
    return weight if media_type == JSON or len(body) <= _SLOW_AT_ONCE_BYTES else max(weight, len(body))


def check_values(body: bytes) -> None:
    """Raises StatusError 413 for JSON with more values than are allowed, before it is decoded."""
    if len(body) > json_size.MAX_VALUES and json_size.has_too_many(body):
        raise too_many_values(json_size.MAX_VALUES)


def parse_at_once(body: bytes, media_type: str, kind: str, duplicates: bool, *, api_version: str = "") -> tuple[Any, list[str]]:
    """`parse`, in the calling thread. `api_version` is that of a protobuf body that names none."""
    value, problems = _parse(body, media_type, kind, duplicates, api_version)
    if media_type != JSON and len(body) > json_size.MAX_VALUES // 2 and json_size.holds_too_many(value):
        raise too_many_values(json_size.MAX_VALUES)
    return value, problems


def _parse(body: bytes, media_type: str, kind: str, duplicates: bool, api_version: str) -> tuple[Any, list[str]]:
    if media_type == JSON:
        check_values(body)
        value, repeated = json_codec.decode(body, duplicates=duplicates, kind=kind)
        if len(body) > MAX_STORED_DEPTH and count_byte(body, b"{") + count_byte(body, b"[") > MAX_STORED_DEPTH:
            _check_depth(value, kind, body)
        return value, [f'duplicate field "{path}"' for path in repeated]
    if media_type == YAML:
        value, repeated = yaml_codec.decode(body, duplicates=duplicates, kind=kind)
        _check_depth(value, kind, body)
        return value, repeated
    value = protobuf.decode(body, kind=kind, api_version=api_version)
    # Messages may hold JSON.
    _check_depth(value, kind, body)
    return value, []


def _check_depth(value: Any, kind: str, body: bytes) -> None:
    if json_size.nests_too_deeply(value):
        raise json_codec.unrecognized(kind, "couldn't get version/kind; json parse error: exceeded max depth", body)
