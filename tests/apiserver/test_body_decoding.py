"""Bodies of requests: how deeply they may nest, and that a big one keeps nobody waiting."""

from __future__ import annotations

import asyncio

import pytest

from tenantry.apiserver.body_decoding import parse
from tenantry.apiserver.negotiation import JSON, YAML
from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH
from tenantry.kube.status import StatusError
from tests.support.waiting import one_turn


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("media_type", [JSON, YAML])
async def test_depth(media_type: str) -> None:
    await parse(nested(MAX_STORED_DEPTH), media_type, "Thing")
    with pytest.raises(StatusError) as refused:
        await parse(nested(MAX_STORED_DEPTH + 1), media_type, "Thing")
    assert refused.value.code == 400
    assert "exceeded max depth" in refused.value.message


async def test_width_is_no_depth() -> None:
    await parse(b"[" + b",".join([b"{}"] * 1000) + b"]", JSON, "Thing")


async def test_others_are_answered_while_big_yaml_is_read() -> None:
    body = b"".join(b"a%d: [1, 2, 3]\n" % number for number in range(5000))
    reading = asyncio.create_task(parse(body, YAML, "Thing"))
    turns = 0
    while not reading.done():
        await one_turn()
        turns += 1
    assert len((await reading)[0]) == 5000
    assert turns > 100
