"""Bodies that nest more deeply than can be stored are refused when they are read."""

from __future__ import annotations

import pytest

from tenantry.apiserver.decoding import parse
from tenantry.apiserver.negotiation import JSON, YAML
from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH
from tenantry.kube.status import StatusError


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("media_type", [JSON, YAML])
def test_depth(media_type: str) -> None:
    parse(nested(MAX_STORED_DEPTH), media_type, "Thing")
    with pytest.raises(StatusError) as refused:
        parse(nested(MAX_STORED_DEPTH + 1), media_type, "Thing")
    assert refused.value.code == 400
    assert "exceeded max depth" in refused.value.message


def test_width_is_no_depth() -> None:
    parse(b"[" + b",".join([b"{}"] * 1000) + b"]", JSON, "Thing")
