"""Verifies JWTs of issuers: algorithm, signature, issuer, audience and time, in kube-apiserver's order and words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tenantry.apiserver.authentication.issuer_keys import BadSignature, IssuerError, IssuerKeys
from tenantry.apiserver.authentication.json_web_tokens import SignedToken

NOT_BEFORE_LEEWAY_SECONDS = 60
_JSON_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
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
    return float(token.claims.get("exp") or 0)


def quoted(texts: Sequence[str]) -> str:
    """As Go prints a slice with %q."""
    return "[" + " ".join(map(_quote, texts)) + "]"


def _quote(text: str) -> str:
    return f'"{text}"'


def _check_types(claims: dict[str, Any]) -> None:
    for name, kinds, go_type in _TYPES:
        value = claims.get(name)
        if value is None or (type(value) in kinds):
            continue
        raise NotVerified(
            f"oidc: failed to unmarshal claims: json: cannot unmarshal {_JSON_NAMES[type(value)]} into Go "
            f"struct field idToken.{name} of type {go_type}"
        )
    audience = claims.get("aud")
    if type(audience) is list and not all(type(each) is str for each in audience):
        wrong = next(each for each in audience if type(each) is not str)
        found = _JSON_NAMES.get(type(wrong), "null")
        raise NotVerified(f"oidc: failed to unmarshal claims: json: cannot unmarshal {found} into Go value of type string")


_TYPES: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("iss", (str,), "string"),
    ("sub", (str,), "string"),
    ("aud", (str, list), "oidc.audience"),
    ("exp", (int, float), "json.Number"),
    ("iat", (int, float), "json.Number"),
    ("nbf", (int, float), "json.Number"),
    ("nonce", (str,), "string"),
    ("at_hash", (str,), "string"),
    ("_claim_names", (dict,), "map[string]string"),
    ("_claim_sources", (dict,), "map[string]oidc.claimSource"),
)


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
    return value if isinstance(value, list) else []


def _check_time(claims: dict[str, Any], now: float) -> None:
    expires, begins = claims.get("exp"), claims.get("nbf")
    if expires is None or not expires >= now:
        raise NotVerified(f"oidc: token is expired (Token Expiry: {_time_text(expires)})")
    if begins is not None and now + NOT_BEFORE_LEEWAY_SECONDS < begins:
        raise NotVerified(f"oidc: current time {_time_text(now)} before the nbf (not before) time: {_time_text(begins)}")


def _time_text(seconds: float | None) -> str:
    """As Go prints a time in UTC, to the second."""
    if seconds is None or not math.isfinite(seconds) or abs(seconds) > _LATEST:
        return _ZERO_TIME
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%S} +0000 UTC"
