"""JSON bodies: Go's words for what is wrong, and keys that come twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.codec.json_codec import MAX_DEPTH, decode, encode, syntax_error
from tenantry.kube.status import StatusError

PREFIX = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"  \n", "unexpected end of JSON input (20200a)"),
        (b"{bad json", "invalid character 'b' looking for beginning of object key string ({bad json)"),
        (b'{"apiVersion":"v1","kind":', 'unexpected end of JSON input ({"apiVersion":"v1","kind":)'),
        (b'{"a":1}}', "invalid character '}' after top-level value ({\"a\":1}})"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value ({\"a\":NaN})"),
        (b"{'a': 1}", "invalid character '\\'' looking for beginning of object key string ({'a': 1})"),
        (b'\xef\xbb\xbf{"a":1}', "invalid character '\u00ef' looking for beginning of value (efbbbf7b2261223a317d)"),
        (b'{"a" 1}', "invalid character '1' after object key ({\"a\" 1})"),
        (b'{"a":1 "b"}', 'invalid character \'"\' after object key:value pair ({"a":1 "b"})'),
        (b"[1 2]", "invalid character '2' after array element (5b3120325d)"),
        (b"[tru]", "invalid character ']' in literal true (expecting 'e') (5b7472755d)"),
        (b'["\t"]', "invalid character '\\t' in string literal (5b2209225d)"),
        (b'["\\x"]', "invalid character 'x' in string escape code (5b225c78225d)"),
        (b"[1.x]", "invalid character 'x' after decimal point in numeric literal (5b312e785d)"),
    ],
)
def test_syntax_errors_are_go_s(body: bytes, text: str) -> None:
    with pytest.raises(StatusError) as refused:
        decode(body, kind="ConfigMap")
    assert refused.value.code == 400
    assert refused.value.message == PREFIX + text


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1E309", "1" + "0" * 400 + ".0", "1" + "0" * 400, "9" * 5000])
def test_a_number_beyond_float64_in_an_object_of_the_kind(number: str) -> None:
    body = f'{{"apiVersion":"g.example/v2","kind":"Thing","spec":{{"note":"1e999","n":{number}}}}}'.encode()
    with pytest.raises(StatusError) as refused:
        decode(body, kind="Thing")
    text = f"json: cannot unmarshal number {number} into Go value of type float64"
    assert refused.value.message == f'Thing in version "v2" cannot be handled as a Thing: {text}'
    with pytest.raises(StatusError) as other:
        decode(body, kind="Other")
    assert "couldn't get version/kind" in other.value.message


def test_depth_is_bounded() -> None:
    deep = b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1)
    with pytest.raises(StatusError, match=r"exceeded max depth"):
        decode(deep)


def test_invalid_utf8_is_replaced() -> None:
    assert decode(b'{"a":"\xff"}') == ({"a": "\ufffd"}, [])


def test_duplicates_are_named_by_path() -> None:
    body = b'{"a":1,"b":{"x":[{"c":1,"c":2}],"t":"not : a key"},"a":3}'
    assert decode(body, duplicates=True) == ({"a": 3, "b": {"x": [{"c": 2}], "t": "not : a key"}}, ["b.x[0].c", "a"])
    assert decode(body) == ({"a": 3, "b": {"x": [{"c": 2}], "t": "not : a key"}}, [])


def test_an_escaped_colon_hides_no_duplicate() -> None:
    assert decode(b'{"k":"1","k":"\\u003a"}', duplicates=True)[1] == ["k"]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_round_trip_without_duplicates(value: Any) -> None:
    assert decode(encode(value), duplicates=True) == (value, [])
    assert syntax_error(json.dumps(value).encode()) == ""


@settings(max_examples=150, deadline=None)
@given(VALUES, st.data())
def test_the_scanner_agrees_with_a_parser(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    at = data.draw(st.integers(0, len(text)))
    broken = text[:at] + data.draw(st.sampled_from([b"", b"{", b"]", b",", b":", b'"', b"1", b"x"])) + text[at + 1 :]
    try:
        json.loads(broken, parse_constant=lambda name: pytest.fail(name))
        valid = True
    except ValueError:
        valid = False
    assert (syntax_error(broken) == "") == valid
