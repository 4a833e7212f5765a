"""Tokens of service accounts: JWTs (RS256) with Kubernetes' claims, and kcp's claim for the logical cluster of the account."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
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
from tenantry.kube.field_errors import show

DEFAULT_ISSUER = "https://kcp.default.svc"
_LEGACY_CLUSTER_CLAIM = "kubernetes.io/serviceaccount/clusterName"
_KEY_BITS = 2048
_SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_nbf": False,
    "verify_sub": False,
    "verify_jti": False,
}
_BASE64URL = re.compile("[A-Za-z0-9_-]*")
_LEEWAY_SECONDS = 60
"""Allowed difference between the clocks of shards; the same as in kube-apiserver's JWT library."""

Lookup = Callable[[str, str, str, str], Awaitable[str | None]]
"""(cluster, resource, namespace, name) → the uid of the object, None where it does not exist. The resource: `serviceaccounts`,
`secrets`, `pods` or `nodes`, which have no namespace."""
POD_NAME_EXTRA, POD_UID_EXTRA = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
NODE_NAME_EXTRA, NODE_UID_EXTRA = "authentication.kubernetes.io/node-name", "authentication.kubernetes.io/node-uid"


class KeyFileError(Exception):
    """The signing key cannot be used; the text says which file and why."""


def credential_id(token_id: object) -> str:
    """What audit events and users call a token by (kube-apiserver's `authentication.kubernetes.io/credential-id`)."""
    return f"JTI={token_id}"


@dataclass(frozen=True, slots=True)
class BoundObject:
    """The object that a token is bound to, besides its service account: the token is valid as long as the object exists. `kind`
    is as in the API: Secret, Pod or Node. `node`: the name and the uid of the Node of a Pod, which the token tells and nothing
    more; the uid is empty where there is no such object."""

    kind: str
    name: str
    uid: str
    node: tuple[str, str] = ("", "")


def new_key() -> bytes:
    """A signing key in PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    return made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class TokenIssuer:
    """Signs tokens and publishes the public key. All logical clusters share one key: the cluster is a claim in the token."""

    def __init__(
        self,
        key: rsa.RSAPrivateKey,
        *,
        issuer: str = DEFAULT_ISSUER,
        audiences: Sequence[str] = (),
        accepted: Sequence[str] = (),
    ) -> None:
        """`issuer` is in the tokens that it signs. `audiences`: those of the API server; none: the issuer. `accepted`: other
        issuers whose tokens are accepted: those that this one had before."""
        self.issuer = issuer
        self.audiences = tuple(audiences) or (issuer,)
        self.accepted = frozenset((issuer, *accepted))
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

    def named(self, issuers: Sequence[str], audiences: Sequence[str]) -> TokenIssuer:
        """The issuer with the same key, under other names. `issuers`: the first is in new tokens, and all are accepted."""
        first, *rest = issuers or (DEFAULT_ISSUER,)
        return TokenIssuer(self._key, issuer=first, audiences=audiences, accepted=rest)

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
        token_id: str = "",
    ) -> tuple[str, int]:
        """A token for the service account, and when it expires (Unix time). `token_id`: its claim `jti`; a new one by default."""
        claims = self._claims(cluster, namespace, name, uid, audiences, bound)
        if token_id:
            claims["jti"] = token_id
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
            node_name, node_uid = bound.node
            if node_name:
                own["node"] = {"name": node_name} | ({"uid": node_uid} if node_uid else {})
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
    """Verifies tokens of `TokenIssuer`: signature, audience, time, and that the account and the bound object still have the same
    uid. In this order, and in the words of kube-apiserver, for TokenReviews show them."""

    def __init__(self, issuer: TokenIssuer, lookup: Lookup, *, now: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._lookup = lookup
        self._now = now

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        token = token.strip()
        unverified = _unverified_claims(token)
        issuer = unverified.get("iss") if unverified is not None else None
        if not isinstance(issuer, str) or issuer not in self._issuer.accepted:
            return None
        claims = self._verified(token)
        if claims is None:
            return None
        meant_for = claims.get("aud") or list(self._issuer.audiences)
        meant_for = [meant_for] if isinstance(meant_for, str) else meant_for
        wanted = list(audiences) or list(self._issuer.audiences)
        shared = tuple(audience for audience in wanted if audience in meant_for)
        if not shared:
            raise InvalidToken(
                f"token audiences {_go_quoted(meant_for)} is invalid for the target audiences {_go_quoted(wanted)}"
            )
        self._check_times(claims)
        user = await self._user(claims)
        return TokenIdentity(user, shared, objects=_objects(claims["kubernetes.io"]))

    def _verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a token whose signature is right. None: it is no token in the JWS form. Raises InvalidToken."""
        signature = token.rpartition(".")[2]
        if _BASE64URL.fullmatch(signature) is None or len(signature) % 4 == 1:
            return None
        try:
            header = jwt.get_unverified_header(f"{token.removesuffix(signature)}")
        except jwt.PyJWTError:
            return None
        if header.get("kid") not in (None, "", self._issuer.key_id):
            raise InvalidToken("invalid signature, no keys found")
        try:
            claims: dict[str, Any] = jwt.decode(token, self._issuer.public_key, algorithms=["RS256"], options=_SIGNATURE_ONLY)
        except jwt.PyJWTError as error:
            # The payload is read already, so it is the signature, or its algorithm.
            raise InvalidToken("go-jose/go-jose: error in cryptographic primitive") from error
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        latest, earliest = self._now() + _LEEWAY_SECONDS, self._now() - _LEEWAY_SECONDS
        if _moment(claims, "nbf", latest) > latest:
            raise InvalidToken("service account token is not valid yet")
        if _moment(claims, "exp", earliest) < earliest:
            raise InvalidToken("service account token has expired")
        if _moment(claims, "iat", latest) > latest:
            raise InvalidToken("service account token is issued in the future")

    async def _user(self, claims: dict[str, Any]) -> User:
        own: Any = claims.get("kubernetes.io")
        try:
            cluster, namespace = own["clusterName"], own["namespace"]
            account = own["serviceaccount"]
            name, uid = account["name"], account["uid"]
            subject = claims["sub"]
        except (KeyError, TypeError) as error:
            raise InvalidToken("service account token lacks its claims") from error
        if subject != service_account_name(namespace, name):
            raise InvalidToken("sub claim does not match the service account")
        found = await self._lookup(cluster, "serviceaccounts", namespace, name)
        if found is None:
            raise InvalidToken(f'serviceaccounts "{name}" not found')
        if found != uid:
            raise InvalidToken(f"service account UID ({found}) does not match claim ({uid})")
        secret = own.get("secret")
        if not secret and "exp" not in claims:
            raise InvalidToken("service account token does not expire and is bound to no secret")
        pod, node = own.get("pod"), own.get("node")
        if secret:
            await self._check_bound(cluster, namespace, "secret", secret)
        if pod:
            await self._check_bound(cluster, namespace, "pod", pod)
        elif node:
            await self._check_bound(cluster, "", "node", node)
        extra = {CLUSTER_NAME_EXTRA: [cluster]}
        if claims.get("jti"):
            extra[CREDENTIAL_ID_EXTRA] = [credential_id(claims["jti"])]
        if pod:
            extra |= {POD_NAME_EXTRA: [pod["name"]], POD_UID_EXTRA: [pod["uid"]]}
        if node:
            extra[NODE_NAME_EXTRA] = [node["name"]]
            if node.get("uid"):
                extra[NODE_UID_EXTRA] = [node["uid"]]
        return User(subject, service_account_groups(namespace), uid, make_extra(extra))

    async def _check_bound(self, cluster: str, namespace: str, what: str, claim: dict[str, str]) -> None:
        uid = claim.get("uid", "")
        found = await self._lookup(cluster, f"{what}s", namespace, claim.get("name", ""))
        if found is None:
            raise InvalidToken("service account token has been invalidated")
        if found != uid:
            raise InvalidToken(f"{what} UID ({found}) does not match service account {what} ref claim ({uid})")


def _objects(claims: dict[str, Any]) -> tuple[str, ...]:
    """The uids of all that a valid token ends with and that is told of: its account, and its Secret."""
    parts = (claims.get("serviceaccount"), claims.get("secret"))
    return tuple(str(part["uid"]) for part in parts if part and part.get("uid"))


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
    # A header may have bytes that are no text, and an encoder of one raises at them.
    if not token.isascii():
        return None
    parts = token.split(".")
    if len(parts) != 3:
        return None
    payload = parts[1]
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _moment(claims: dict[str, Any], name: str, absent: float) -> float:
    """A time in the claims (Unix time); `absent` where there is none. Raises InvalidToken."""
    moment = claims.get(name, absent)
    if not isinstance(moment, int | float):
        raise InvalidToken(f"the claim {name} is no time")
    return moment


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _go_quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(show(value) for value in values) + "]"
