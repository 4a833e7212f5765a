"""Bodies of requests as values: JSON, YAML or protobuf."""

from __future__ import annotations

import asyncio
from typing import Any

from tenantry.apiserver.limits import Limits
from tenantry.apiserver.negotiation import JSON, YAML
from tenantry.kube.codec import json_codec, protobuf, yaml_codec
from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH

BODY_LIMIT_BYTES = Limits().body_bytes
_YAML_AT_ONCE_BYTES = 16 * 1024
"""YAML takes Python a second at its largest, in which nobody else would be answered; more than this is read beside the loop."""


async def parse(body: bytes, media_type: str, kind: str = "", *, duplicates: bool = False) -> tuple[Any, list[str]]:
    """The value in a body, and what to say of duplicate keys where that is asked for. Raises StatusError 400."""
    if media_type == YAML and len(body) > _YAML_AT_ONCE_BYTES:
        return await asyncio.to_thread(_parse, body, media_type, kind, duplicates)
    return _parse(body, media_type, kind, duplicates)


def _parse(body: bytes, media_type: str, kind: str, duplicates: bool) -> tuple[Any, list[str]]:
    if media_type == JSON:
        value, repeated = json_codec.decode(body, duplicates=duplicates, kind=kind)
        if body.count(b"{") + body.count(b"[") > MAX_STORED_DEPTH:
            _check_depth(value, kind, body)
        return value, [f'duplicate field "{path}"' for path in repeated]
    if media_type == YAML:
        value, repeated = yaml_codec.decode(body, duplicates=duplicates, kind=kind)
        _check_depth(value, kind, body)
        return value, repeated
    return protobuf.decode(body, kind=kind), []


def _check_depth(value: Any, kind: str, body: bytes) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_STORED_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise json_codec.unrecognized(kind, "couldn't get version/kind; json parse error: exceeded max depth", body)
