"""Counting in steps gives what counting at once gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.codec import byte_count
from tenantry.kube.codec.byte_count import count_byte


@given(body=st.lists(st.sampled_from([b"a", b",", b",,,", b"b" * 9, b"\\"])).map(b"".join), window=st.integers(1, 12))
def test_as_at_once(body: bytes, window: int) -> None:
    known, byte_count._WINDOW_BYTES = byte_count._WINDOW_BYTES, window
    try:
        assert count_byte(body, b",") == body.count(b",")
    finally:
        byte_count._WINDOW_BYTES = known
