"""The public keys of an issuer (JSON Web Key Set, RFC 7517), and signatures by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tenantry.apiserver.authentication.json_web_tokens import SignedToken

ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
"""All that kube-apiserver accepts."""
KEYS_MAX = 100
"""How many keys of a set are read."""
KEYS_TRIED_MAX = 16
"""How many keys a token is compared with, for a token that names none."""
_RSA_BITS = (1024, 8192)
_QUICK_RSA_BITS = 4096
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_KEY_BYTES = 4096
"""Memory of a parsed key, of the largest size."""


class Key(NamedTuple):
    """`is_slow`: a signature takes longer than 0.2 ms to verify."""

    key_id: str
    algorithms: frozenset[str]
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    is_slow: bool


class KeySet:
    """The keys of one issuer."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def memory_bytes(self) -> int:
        return _KEY_BYTES * len(self._keys)

    def candidates(self, token: SignedToken) -> tuple[Key, ...]:
        """The keys that may have signed a token."""
        found = tuple(
            key for key in self._keys if token.algorithm in key.algorithms and (not token.key_id or key.key_id == token.key_id)
        )
        return found[:KEYS_TRIED_MAX]


def parse(content: bytes) -> KeySet:
    """The keys in a document. Keys of other kinds, and too large ones, are left out. Raises ValueError for what is no key set."""
    document = orjson.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the document has no list of keys")
    return KeySet([key for entry in entries[:KEYS_MAX] if (key := _key(entry)) is not None])


def is_signed(token: SignedToken, candidates: Sequence[Key]) -> bool:
    """Whether one of these keys signed the token."""
    if "crit" in token.header:
        # RFC 7515 §4.1.11: this names extensions that must be understood, and none is.
        return False
    algorithm = jwt.get_algorithm_by_name(token.algorithm)
    return any(algorithm.verify(token.signed, candidate.key, token.signature) for candidate in candidates)


def _key(entry: Any) -> Key | None:
    if not isinstance(entry, dict):
        return None
    key_id = entry.get("kid", "")
    try:
        match entry.get("kty"):
            case "RSA":
                key: Any = jwt.algorithms.RSAAlgorithm.from_jwk({name: entry[name] for name in ("kty", "n", "e")})
            case "EC":
                key = jwt.algorithms.ECAlgorithm.from_jwk({name: entry[name] for name in ("kty", "crv", "x", "y")})
            case _:
                return None
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if not isinstance(key_id, str):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        if not _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]:
            return None
        names = frozenset(name for name in ALGORITHMS if name[0] in "RP")
        return Key(key_id, names, key, key.key_size > _QUICK_RSA_BITS)
    if isinstance(key, ec.EllipticCurvePublicKey) and (name := _CURVES.get(key.curve.name)):
        return Key(key_id, frozenset((name,)), key, name != "ES256")
    return None
