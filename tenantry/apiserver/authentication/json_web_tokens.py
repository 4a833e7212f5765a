"""The form of JSON Web Tokens (RFC 7519): reads one without verifying it."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

import orjson

CHARACTERS_MAX = 128 * 1024
"""A longer token is none. HTTP heads are shorter; a TokenReview may be longer."""
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_GOOGLE = ("accounts.google.com", "https://accounts.google.com")
"""Google's tokens may name their issuer in either form (OpenID Connect Core §15.6.2)."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token whose signature is not verified. `signed`: the bytes that are signed. `issuer`: its claim `iss`, empty where it
    has none."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes
    issuer: str

    @property
    def algorithm(self) -> str:
        found = self.header.get("alg")
        return found if isinstance(found, str) else ""

    @property
    def key_id(self) -> str:
        found = self.header.get("kid")
        return found if isinstance(found, str) else ""


def parse(text: str) -> SignedToken | None:
    """The token; None where the text is no signed JWT."""
    if len(text) > CHARACTERS_MAX or text.count(".") != 2:
        return None
    head, payload, signature = text.split(".")
    try:
        header, claims = orjson.loads(_decoded(head)), orjson.loads(_decoded(payload))
        decoded = _decoded(signature)
    except ValueError:
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    issuer = claims.get("iss")
    if issuer == _GOOGLE[0]:
        issuer = _GOOGLE[1]
    return SignedToken(header, claims, f"{head}.{payload}".encode(), decoded, issuer if isinstance(issuer, str) else "")


def _decoded(text: str) -> bytes:
    """Base64url without padding. Raises ValueError."""
    if _BASE64URL.fullmatch(text) is None:
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
