"""Continue tokens: what is made is read, and what is no token is refused in Go's words."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver.verbs.continue_token import ContinueToken, decode
from tenantry.kube.status import StatusError

UNKNOWN = "server does not recognize this encoded version "


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


@given(st.integers(1, 2**62), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.integers(0, 2**62))
def test_a_token_is_read_as_it_was_made(version: int, start: str, visible_at: int) -> None:
    made = ContinueToken(version, start, visible_at)
    assert decode(made.encode()) == made


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("!!", "illegal base64 data at input byte 0"),
        ("a b", "illegal base64 data at input byte 1"),
        ("YWJj=", "illegal base64 data at input byte 4"),
        ("ab+/", "illegal base64 data at input byte 2"),
        ("YWJjZ", "illegal base64 data at input byte 4"),
        ("YWJj", "invalid character 'a' looking for beginning of value"),
        (token([]), "json: cannot unmarshal array into Go value of type storage.continueToken"),
        (token("x"), "json: cannot unmarshal string into Go value of type storage.continueToken"),
        (token(None), UNKNOWN),
        (token({}), UNKNOWN),
        (token({"v": "v2"}), UNKNOWN + "v2"),
        (token({"v": 2}), "json: cannot unmarshal number into Go struct field continueToken.v of type string"),
        (
            token({"v": "meta.k8s.io/v1", "rv": "1"}),
            "json: cannot unmarshal string into Go struct field continueToken.rv of type int64",
        ),
        (token({"v": "meta.k8s.io/v1"}), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token({"v": "meta.k8s.io/v1", "rv": 1}), "encoded start key empty (version meta.k8s.io/v1)"),
    ],
)
def test_what_is_no_token(text: str, why: str) -> None:
    with pytest.raises(StatusError) as refused:
        decode(text)
    assert (refused.value.code, refused.value.message) == (400, f"invalid continue token: continue key is not valid: {why}")
