"""Tokens of service accounts: JWTs (RS256) with Kubernetes' claims, and kcp's claim for the logical cluster of the account."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tenantry.apiserver.authentication.authenticator import InvalidToken, TokenIdentity, bearer_token
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import (
    CLUSTER_NAME_EXTRA,
    CREDENTIAL_ID_EXTRA,
    User,
    make_extra,
    service_account_groups,
    service_account_name,
)
from tenantry.base.files import write_private

DEFAULT_ISSUER = "https://kcp.default.svc"
_LEGACY_CLUSTER_CLAIM = "kubernetes.io/serviceaccount/clusterName"
_KEY_BITS = 2048
_LEEWAY_SECONDS = 60
"""Allowed difference between the clocks of shards; the same as in kube-apiserver's JWT library."""

Lookup = Callable[[str, str, str, str], Awaitable[str | None]]
"""(cluster, `serviceaccounts` or `secrets`, namespace, name) → the uid of the object, None where it does not exist."""


class KeyFileError(Exception):
    """The signing key cannot be used; the text says which file and why."""


@dataclass(frozen=True, slots=True)
class BoundObject:
    """The object that a token is bound to, besides its service account: the token is valid as long as the object exists. `kind`
    is as in the API: Secret."""

    kind: str
    name: str
    uid: str


def new_key() -> bytes:
    """A signing key in PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    return made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class TokenIssuer:
    """Signs tokens and publishes the public key. All logical clusters share one key: the cluster is a claim in the token."""

    def __init__(self, key: rsa.RSAPrivateKey, *, issuer: str = DEFAULT_ISSUER, audiences: Sequence[str] = ()) -> None:
        self.issuer = issuer
        self.audiences = tuple(audiences) or (issuer,)
        self.public_key = key.public_key()
        self._key = key
        der = self.public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _base64url(hashlib.sha256(der).digest())

    @classmethod
    def load(cls, path: Path, *, issuer: str = DEFAULT_ISSUER, audiences: Sequence[str] = ()) -> TokenIssuer:
        """The issuer with the key in a PEM file. Creates the file where it is missing. Raises KeyFileError."""
        if not path.exists():
            write_private(path, new_key())
        try:
            pem = path.read_bytes()
        except OSError as error:
            raise KeyFileError(f"cannot read the key of service account tokens in {path}: {error}") from error
        return cls.of_pem(pem, str(path), issuer=issuer, audiences=audiences)

    @classmethod
    def of_pem(cls, pem: bytes, where: str, *, issuer: str = DEFAULT_ISSUER, audiences: Sequence[str] = ()) -> TokenIssuer:
        """The issuer with a key in PEM. `where` is the origin of the key, for error texts. Raises KeyFileError."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise KeyFileError(f"cannot read the key of service account tokens in {where}: {error}") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KeyFileError(f"the key of service account tokens in {where} is not an RSA key")
        return cls(key, issuer=issuer, audiences=audiences)

    def issue(
        self,
        *,
        cluster: str,
        namespace: str,
        name: str,
        uid: str,
        audiences: Sequence[str] = (),
        lifetime_seconds: int = 3600,
        bound: BoundObject | None = None,
    ) -> tuple[str, int]:
        """A token for the service account, and when it expires (Unix time)."""
        claims = self._claims(cluster, namespace, name, uid, audiences, bound)
        expires = claims["exp"] = int(claims["iat"]) + lifetime_seconds
        return self._signed(claims), expires

    def issue_for_secret(self, *, cluster: str, namespace: str, name: str, uid: str, secret: BoundObject) -> str:
        """A token that does not expire, to be stored in the secret that it is bound to."""
        return self._signed(self._claims(cluster, namespace, name, uid, (), secret))

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode(dict(sorted(claims.items())), self._key, algorithm="RS256", headers={"kid": self.key_id, "typ": None})

    def _claims(
        self, cluster: str, namespace: str, name: str, uid: str, audiences: Sequence[str], bound: BoundObject | None
    ) -> dict[str, Any]:
        now = int(time.time())
        own: dict[str, Any] = {
            "clusterName": cluster,
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": uid},
        }
        if bound is not None:
            own[bound.kind.lower()] = {"name": bound.name, "uid": bound.uid}
        return {
            "aud": list(audiences or self.audiences),
            "iat": now,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": own,
            "nbf": now,
            "sub": service_account_name(namespace, name),
        }

    def key_set(self) -> dict[str, object]:
        """The JSON Web Key Set (RFC 7517) with the public key."""
        numbers = self.public_key.public_numbers()
        return {
            "keys": [
                {
                    "use": "sig",
                    "kty": "RSA",
                    "kid": self.key_id,
                    "alg": "RS256",
                    "n": _base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                    "e": _base64url(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")),
                }
            ]
        }


class ServiceAccountTokens:
    """Verifies tokens of `TokenIssuer`: signature, time, audience, and that the account and the bound object still have the same
    uid."""

    def __init__(self, issuer: TokenIssuer, lookup: Lookup) -> None:
        self._issuer = issuer
        self._lookup = lookup

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        unverified = _unverified_claims(token)
        if unverified is None or unverified.get("iss") != self._issuer.issuer:
            return None
        try:
            claims = jwt.decode(
                token,
                self._issuer.public_key,
                algorithms=["RS256"],
                issuer=self._issuer.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"verify_aud": False, "require": ["sub", "iss"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise InvalidToken("service account token has expired") from error
        except jwt.PyJWTError as error:
            raise InvalidToken(str(error)) from error
        meant_for = claims.get("aud", [])
        meant_for = [meant_for] if isinstance(meant_for, str) else meant_for
        wanted = list(audiences) or list(self._issuer.audiences)
        shared = tuple(audience for audience in wanted if audience in meant_for)
        if not shared:
            raise InvalidToken(
                f"token audiences {_go_quoted(meant_for)} is invalid for the target audiences {_go_quoted(wanted)}"
            )
        return TokenIdentity(await self._user(claims), shared)

    async def _user(self, claims: dict[str, Any]) -> User:
        own: Any = claims.get("kubernetes.io")
        try:
            cluster, namespace = own["clusterName"], own["namespace"]
            account = own["serviceaccount"]
            name, uid = account["name"], account["uid"]
        except (KeyError, TypeError) as error:
            raise InvalidToken("service account token lacks its claims") from error
        if claims["sub"] != service_account_name(namespace, name):
            raise InvalidToken("sub claim does not match the service account")
        await self._check(cluster, "serviceaccounts", namespace, name, uid)
        secret = own.get("secret")
        if not secret and "exp" not in claims:
            raise InvalidToken("service account token does not expire and is bound to no secret")
        if secret:
            await self._check(cluster, "secrets", namespace, secret.get("name", ""), secret.get("uid", ""))
        extra = {CLUSTER_NAME_EXTRA: [cluster]}
        if claims.get("jti"):
            extra[CREDENTIAL_ID_EXTRA] = [f"JTI={claims['jti']}"]
        return User(claims["sub"], service_account_groups(namespace), uid, make_extra(extra))

    async def _check(self, cluster: str, resource: str, namespace: str, name: str, uid: str) -> None:
        found = await self._lookup(cluster, resource, namespace, name)
        if found is None:
            raise InvalidToken("service account token has been invalidated")
        if found != uid:
            kind = "service account" if resource == "serviceaccounts" else "bound secret"
            raise InvalidToken(f"{kind} UID ({found}) does not match claim ({uid})")


def token_cluster(request: Request) -> str | None:
    """The logical cluster that a request's token names. The token is not verified here; authentication verifies it later."""
    token = bearer_token(request)
    claims = _unverified_claims(token) if token else None
    if claims is None:
        return None
    own: Any = claims.get("kubernetes.io")
    cluster = own.get("clusterName") if isinstance(own, dict) else None
    cluster = cluster or claims.get(_LEGACY_CLUSTER_CLAIM)
    return cluster if isinstance(cluster, str) and cluster else None


def _unverified_claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    payload = parts[1]
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _go_quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
