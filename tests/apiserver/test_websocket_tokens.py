"""Bearer tokens in the subprotocols of a WebSocket handshake."""

from __future__ import annotations

import base64

import pytest
from multidict import CIMultiDict

from tenantry.apiserver.request import Request
from tenantry.http.messages import credential_of


def hidden(token: str) -> str:
    return "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def read(*protocols: str, authorization: str | None = None) -> Request:
    headers: CIMultiDict[str] = CIMultiDict([("Host", "x"), *(("sec-websocket-protocol", value) for value in protocols)])
    if authorization is not None:
        headers["Authorization"] = authorization
    request = Request("GET", "/", headers=headers, websocket=True, known_credential=credential_of(authorization or ""))
    request.prepare_websocket()
    return request


@pytest.mark.parametrize(
    ("protocols", "left"),
    [
        ((f"{hidden('secret')}, v1.example",), "v1.example"),
        ((f"v1.example,{hidden('secret')}",), "v1.example"),
        ((hidden("secret"), "v1.example"), "v1.example"),
        ((f"a, {hidden('secret')}, b",), "a, b"),
    ],
)
def test_a_token_becomes_a_header(protocols: tuple[str, ...], left: str) -> None:
    request = read(*protocols)
    assert request.header("authorization") == "Bearer secret"
    assert request.header_values("sec-websocket-protocol") == [left]
    # For its limits the request counts as one with that header.
    assert request.credential == credential_of("Bearer secret")
    assert not request.malformed_token


@pytest.mark.parametrize(
    "protocols",
    [
        hidden("secret"),
        f"{hidden('secret')}, {hidden('other')}, v1.example",
        "base64url.bearer.authorization.k8s.io.***, v1.example",
        "base64url.bearer.authorization.k8s.io.abcde, v1.example",
        "base64url.bearer.authorization.k8s.io.c2VjcmV0==, v1.example",
        "base64url.bearer.authorization.k8s.io._w, v1.example",
        f"{hidden('a' + chr(13) + chr(10) + 'X-Remote-User: admin')}, v1.example",
    ],
)
def test_a_malformed_token_is_refused(protocols: str) -> None:
    request = read(protocols)
    assert request.malformed_token
    assert "authorization" not in request.headers


@pytest.mark.parametrize("protocols", ["v1.example", "base64url.bearer.authorization.k8s.io., v1.example", ""])
def test_no_token_is_none(protocols: str) -> None:
    request = read(protocols)
    assert not request.malformed_token
    assert "authorization" not in request.headers


def test_a_bearer_token_in_the_header_goes_first() -> None:
    request = read(f"{hidden('secret')}, v1.example", authorization="Bearer mine")
    assert request.header("authorization") == "Bearer mine"
    assert hidden("secret") in request.header("sec-websocket-protocol")


def test_a_header_of_another_scheme_does_not_count() -> None:
    assert read(f"{hidden('secret')}, v1.example", authorization="Basic eDp5").header("authorization") == "Bearer secret"
