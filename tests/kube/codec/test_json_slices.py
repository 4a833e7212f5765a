"""A text that is decoded in slices is what it is when it is decoded at once, and so is every refusal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenantry.kube.codec import json_slices
from tenantry.kube.codec.json_slices import AT_ONCE, in_slices, loads


class Pairs(list[tuple[str, Any]]):
    """An object, whose keys may come twice."""


KEYS = st.sampled_from(["a", "b", "", "a\\", 'a"', '\\"', "é", "{", "],", " "])
VALUES = st.recursive(
    st.sampled_from([None, True, 1, -1.5, "", "a", '"', "\\", "[,{", "x" * 20]),
    lambda inner: st.lists(inner, max_size=6) | st.lists(st.tuples(KEYS, inner), max_size=6).map(Pairs),
    max_leaves=40,
)
SPACES = st.sampled_from(["", "", " ", "\n\t ", " " * 9])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    def write(value: Any) -> str:
        space = draw(SPACES)
        if isinstance(value, Pairs):
            items = [f"{space}{json.dumps(key)}{draw(SPACES)}:{space}{write(each)}{space}" for key, each in value]
            return "{" + (",".join(items) or space) + "}"
        if isinstance(value, list):
            return "[" + (",".join(f"{draw(SPACES)}{write(each)}{space}" for each in value) or space) + "]"
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    return f"{draw(SPACES)}{write(draw(VALUES))}{draw(SPACES)}".encode()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_slices, "SLICE_BYTES", 4)


def at_once(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except json.JSONDecodeError:
        return "refused"


def sliced(text: bytes) -> Any:
    try:
        return in_slices(text)
    except json.JSONDecodeError:
        return "refused"


def ordered(value: Any) -> str:
    return repr(value)


@settings(max_examples=600)
@given(text=texts())
@example(text=b'{"a":[1],"b":2,"a":[1,2,3,4,5,6],"b":[7,8,9]}')
@example(text=b'{"":{"":[1,2,3,4],"":5},"":[6,7,8,9]}')
def test_texts(text: bytes) -> None:
    assert ordered(sliced(text)) == ordered(at_once(text))


@settings(max_examples=600)
@given(text=texts(), at=st.integers(0, 10_000), put=st.sampled_from([b"", b",", b"]", b"}", b"[", b"{", b'"', b":", b"1", b"\\"]))
@example(text=b"[1,2,3,4,5]", at=10, put=b",")
@example(text=b"[1,2,3,4,5]", at=1, put=b",")
def test_texts_with_a_fault(text: bytes, at: int, put: bytes) -> None:
    at %= len(text) + 1
    wrong = text[:at] + put + text[at + (not put) :]
    assert ordered(sliced(wrong)) == ordered(at_once(wrong))


@settings(max_examples=300)
@given(text=texts())
def test_pairs(text: bytes) -> None:
    def parse(part: bytes) -> Any:
        return json.loads(part, object_pairs_hook=Pairs)

    assert ordered(in_slices(text, parse, pairs=True)) == ordered(parse(text))


def test_the_slices_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_slices, "SLICE_BYTES", 1000)
    seen: list[int] = []

    def parse(part: bytes) -> Any:
        seen.append(len(part))
        return orjson.loads(part)

    for body in (
        b"[" + b",".join([b"1"] * 20_000) + b"]",
        b'{"a":{"b":[' + b",".join([b'{"c":[{}]}'] * 5_000) + b"]}}",
        b"{" + b",".join(b'"k%d":{"a":[1,2,"x"]}' % number for number in range(5_000)) + b"}",
        b"[" + b",".join([b'{"a":' * 90 + b"1" + b"}" * 90] * 100) + b"]",
    ):
        seen.clear()
        assert in_slices(body, parse) == orjson.loads(body)
        assert len(seen) >= len(body) // 3_000
        assert max(seen) <= 3_000


async def test_only_what_is_long_and_not_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def parse(part: bytes) -> Any:
        seen.append(len(part))
        return orjson.loads(part)

    monkeypatch.setattr(json_slices, "SLICE_BYTES", 1 << 15)
    few = orjson.dumps(["x" * 500_000, *range(AT_ONCE // 2)])
    many = orjson.dumps(["x" * 500_000, *range(AT_ONCE)])
    assert await asyncio.to_thread(loads, few, parse) == orjson.loads(few)
    assert loads(many, parse) == orjson.loads(many)
    assert seen == [len(few), len(many)]
    assert await asyncio.to_thread(loads, many, parse) == orjson.loads(many)
    assert len(seen) > 3
