"""PEM as Go's encoding/pem reads it: what counts, what is skipped, and that it costs little."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.pem import Block, blocks, encode, first_block

ONE = encode("A", b"abc")


@given(st.lists(st.tuples(st.sampled_from(["CERTIFICATE", "X Y", ""]), st.binary(max_size=200)), max_size=4), st.data())
def test_what_is_encoded_is_read_whatever_stands_around_it(found: list[tuple[str, bytes]], data: st.DataObject) -> None:
    noise = st.sampled_from([b"", b"hello\n", b"-----\n", b"a: b\n", b"-----BEGIN X-----\n!\n", b"-----END X-----\n"])
    text = data.draw(noise) + b"".join(encode(kind, content) + data.draw(noise) for kind, content in found)
    assert [(block.type, block.data) for block in blocks(text)] == found
    assert not any(block.has_headers for block in blocks(text))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", None),
        (b"abc", None),
        (b" " + ONE, None),
        (b"x\n" + ONE, Block("A", False, b"abc")),
        (ONE.replace(b"\n", b"\r\n"), Block("A", False, b"abc")),
        (ONE.replace(b"A-----\n", b"A-----  \n", 1), Block("A", False, b"abc")),
        (ONE.replace(b"A-----\n", b"A-----\nk: v\nl:w\n\n", 1), Block("A", True, b"abc")),
        (ONE.replace(b"YWJj", b"YW Jj"), Block("A", False, b"abc")),
        (ONE.replace(b"YWJj", b"YW\nJj"), Block("A", False, b"abc")),
        (ONE.replace(b"YWJj", b"YWJ"), None),
        (ONE.replace(b"YWJj\n", b""), Block("A", False, b"")),
        (ONE.replace(b"END A", b"END B"), None),
        (ONE.rstrip() + b" x", None),
        (ONE.rstrip() + b" \t", Block("A", False, b"abc")),
        (ONE.replace(b"A-----\n", b"A----\n", 1), None),
        (b"-----BEGIN B-----\n" + ONE, Block("A", False, b"abc")),
        (b"-----BEGIN A-----\nk: v\n", None),
    ],
)
def test_one_block(text: bytes, found: Block | None) -> None:
    assert first_block(text) == found


@pytest.mark.parametrize(
    "piece",
    [
        b"-----BEGIN X-----\n",
        b"-----BEGIN :-----\n",
        b"-----BEGIN ",
        b"\n-----END X-----",
        b"k: v\n",
        b"-----BEGIN X-----\n!\n",
        b"-----",
    ],
)
def test_a_mebibyte_of_anything_costs_little(piece: bytes) -> None:
    text = piece * ((1 << 20) // len(piece))
    for each in (
        text,
        text + b"\n-----END X-----\n",
        b"-----BEGIN X-----\n" + text,
        text + b"\n-----END X-----" + b"y" * (1 << 20),
    ):
        began = time.process_time()
        assert len([*blocks(each)]) <= 1 + (1 << 20) // 32
        assert time.process_time() - began < 2.0
