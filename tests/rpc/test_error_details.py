"""Refusals: google.rpc's details as clients read them, and how long their texts get."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.rpc.error_details import DOMAIN, TEXT_BYTES, bad_field, missing, over_quota, reason, refuse, retry_after, short
from tests.rpc.echo import unary
from tests.support.rpc import RpcOnSocket, details


class Aborted(Exception):
    """What a context of grpc.aio ends a handler with: the code, the text and the trailers."""

    def __init__(self, code: grpc.StatusCode, text: str, trailers: Any) -> None:
        super().__init__(text)
        self._parts = code, text, trailers

    def code(self) -> grpc.StatusCode:
        return self._parts[0]

    def details(self) -> str:
        return self._parts[1]

    def trailing_metadata(self) -> Any:
        return self._parts[2]


class Context:
    async def abort(self, code: grpc.StatusCode, text: str, trailers: Any) -> None:
        raise Aborted(code, text, trailers)


async def test_details_arrive(served: RpcOnSocket) -> None:
    async with served.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel, "Refuse")(b"thing")
    found = details(caught.value)
    assert (found["ErrorInfo"].reason, found["ErrorInfo"].domain) == ("NONE", DOMAIN)
    assert (found["ResourceInfo"].resource_type, found["ResourceInfo"].resource_name) == ("thing", "x")


async def test_each_detail_has_its_form() -> None:
    given_details = (
        reason("WHY", {"of": "what"}),
        retry_after(1.5),
        missing("shard", "one"),
        bad_field("tenant", "is empty"),
        over_quota("grpc_calls", "all taken"),
    )
    with pytest.raises(Aborted) as caught:
        await refuse(Context(), grpc.StatusCode.UNAVAILABLE, "not now", *given_details)
    found = details(caught.value)
    assert dict(found["ErrorInfo"].metadata) == {"of": "what"}
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 1500
    assert found["ResourceInfo"].resource_name == "one"
    (violation,) = found["BadRequest"].field_violations
    assert (violation.field, violation.description) == ("tenant", "is empty")
    (violation,) = found["QuotaFailure"].violations
    assert (violation.subject, violation.description) == ("grpc_calls", "all taken")


async def test_however_long_the_question_the_trailers_fit() -> None:
    """Clients take 8 KiB of them, and a text may stand in a refusal three times."""
    long = "é" * 100_000
    with pytest.raises(Aborted) as caught:
        await refuse(Context(), grpc.StatusCode.NOT_FOUND, long, reason("NONE", {"name": long}), missing("thing", long))
    assert sum(len(key) + len(value) for key, value in caught.value.trailing_metadata()) < 8 * 1024
    assert details(caught.value)["ResourceInfo"].resource_name == short(long)


@given(st.text(max_size=2 * TEXT_BYTES))
def test_a_text_is_whole_or_says_how_long_it_was(text: str) -> None:
    cut = short(text)
    if len(text.encode("utf-8", "replace")) <= TEXT_BYTES:
        assert cut == text
        return
    shown, _, rest = cut.rpartition("… ")
    assert text.startswith(shown) and rest == f"({len(text)} characters)"
    # A character is never cut in two, so that a few bytes may be missing.
    assert TEXT_BYTES - 4 < len(shown.encode()) <= TEXT_BYTES
