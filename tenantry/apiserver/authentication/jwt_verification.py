"""Verifies JWTs of issuers: algorithm, signature, issuer, audience and time, in kube-apiserver's order and words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import orjson

from tenantry.apiserver.authentication.issuer_keys import BadSignature, IssuerError, IssuerKeys
from tenantry.apiserver.authentication.json_web_tokens import SignedToken
from tenantry.kube.go_text import quote

NOT_BEFORE_LEEWAY_SECONDS = 60
_JSON_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_UNMARSHAL = "oidc: failed to unmarshal claims"
_TEXTS = ("iss", "sub", "nonce", "at_hash")
_NUMBERS = ("exp", "iat", "nbf")
_MAPS = (("_claim_names", "map[string]string"), ("_claim_sources", "map[string]oidc.claimSource"))
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,300})(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_INT64 = 1 << 63
_OUT_OF_RANGE = "292277026596-12-04 15:30:08 +0000 UTC"
"""Go's text for a number of seconds that is out of range."""
_ZERO_TIME = "0001-01-01 00:00:00 +0000 UTC"
_LATEST = 253402300799


class NotVerified(Exception):
    """The token is not valid; the text says why."""


async def verify(
    token: SignedToken,
    keys: IssuerKeys,
    *,
    issuer: str,
    audiences: Sequence[str],
    algorithms: Sequence[str],
    clock: Callable[[], float],
) -> None:
    """Returns where the token is valid for one of the audiences. `clock`: Unix time. Raises NotVerified."""
    if token.algorithm not in algorithms:
        raise NotVerified(
            f"oidc: id token signed with unsupported algorithm, expected {quoted(algorithms)} got {_quote(token.algorithm)}"
        )
    try:
        await keys.verify(token)
    except BadSignature:
        raise NotVerified("failed to verify signature: failed to verify id token signature") from None
    except IssuerError as error:
        raise NotVerified(f"failed to verify signature: {error}") from None
    claims = token.claims
    _check_types(claims)
    _check_sources(claims)
    if token.issuer != issuer:
        raise NotVerified(f"oidc: id token issued by a different provider, expected {_quote(issuer)} got {_quote(token.issuer)}")
    given = _audiences(claims.get("aud"))
    if not any(audience in given for audience in audiences):
        wanted = _quote(audiences[0]) if len(audiences) == 1 else f"in {quoted(sorted(audiences))}"
        raise NotVerified(f"oidc: expected audience {wanted} got {quoted(given)}")
    _check_time(claims, clock())


def expiry(token: SignedToken) -> float:
    """When a verified token expires, in Unix time."""
    return _seconds(token.claims["exp"])


def quoted(texts: Sequence[str]) -> str:
    """As Go prints a slice with %q."""
    return "[" + " ".join(map(_quote, texts)) + "]"


def _quote(text: str) -> str:
    return f'"{text}"'


def _check_types(claims: dict[str, Any]) -> None:
    """What Go's decoding into the claims of an ID token refuses."""
    for name in _TEXTS:
        if type(value := claims.get(name)) not in (str, NoneType):
            raise _mismatch(value, name, "string")
    match claims.get("aud"):
        case None | str():
            pass
        case list(audiences):
            for each in audiences:
                if type(each) not in (str, NoneType):
                    raise _mismatch(each, "aud", "string")
        case value:
            raise _mismatch(value, "aud", "[]string")
    for name in _NUMBERS:
        value = claims.get(name)
        if type(value) is str and _NUMBER.fullmatch(value) is None:
            shown = quote(orjson.dumps(value).decode())
            raise NotVerified(f"{_UNMARSHAL}: json: invalid number literal, trying to unmarshal {shown} into Number")
        if type(value) not in (int, float, str, NoneType):
            raise _mismatch(value, name, "json.Number")
    for name, go_type in _MAPS:
        if type(value := claims.get(name)) not in (dict, NoneType):
            raise _mismatch(value, name, go_type)


def _mismatch(value: Any, name: str, go_type: str) -> NotVerified:
    found = _JSON_NAMES[type(value)]
    return NotVerified(f"{_UNMARSHAL}: json: cannot unmarshal {found} into Go struct field idToken.{name} of type {go_type}")


def _seconds(value: Any) -> int:
    """A time in a claim, which may be a number in quotes, in Unix time as Go makes it an int64."""
    number = float(value) if isinstance(value, str) else value
    if isinstance(number, float):
        return int(number) if abs(number) < _INT64 else -_INT64
    return number if -_INT64 <= number < _INT64 else -_INT64


def _check_sources(claims: dict[str, Any]) -> None:
    sources = claims.get("_claim_sources") or {}
    for source in (claims.get("_claim_names") or {}).values():
        if not isinstance(source, str) or not source:
            raise NotVerified("oidc: failed to obtain source from claim name")
        if source not in sources:
            raise NotVerified("oidc: source does not exist")


def _audiences(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each or "" for each in value] if isinstance(value, list) else []


def _check_time(claims: dict[str, Any], now: float) -> None:
    expires, begins = claims.get("exp"), claims.get("nbf")
    if expires is None:
        raise NotVerified(f"oidc: token is expired (Token Expiry: {_ZERO_TIME})")
    if _seconds(expires) < now:
        raise NotVerified(f"oidc: token is expired (Token Expiry: {_time_text(_seconds(expires))})")
    if begins is not None and now + NOT_BEFORE_LEEWAY_SECONDS < _seconds(begins):
        raise NotVerified(
            f"oidc: current time {_time_text(int(now))} before the nbf (not before) time: {_time_text(_seconds(begins))}"
        )


def _time_text(seconds: int) -> str:
    """As Go prints a time in UTC, to the second."""
    if not -_LATEST <= seconds <= _LATEST:
        return _OUT_OF_RANGE
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} +0000 UTC"
