"""The hashes that kcp puts into labels and names: base62 of SHA-224, most significant digit first, no padding."""

from __future__ import annotations

import hashlib

import orjson

from tenantry.base.cache import cached

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

EXPORT_LABEL = "internal.apis.kcp.io/export"
"""Label of APIBindings: the `export_hash` of their export."""
CLAIM_LABEL_PREFIX = "claimed.internal.apis.kcp.io/"
"""Prefix of claim labels. After it comes the `export_hash` of the export that may see the object."""


def base62(data: bytes) -> str:
    """The bytes as one big-endian integer in base 62 (0-9, a-z, A-Z)."""
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def base62_sha224(text: str | bytes) -> str:
    return base62(hashlib.sha224(text if isinstance(text, bytes) else text.encode()).digest())


REFLEXIVE_VALUE = base62(bytes((*range(10), *range(10), *range(8))))
"""The value of an export's claim label on APIBindings to it, which a provider sees without a claim on apibindings."""


@cached("export_hashes", bytes_max=1 << 20)
def export_hash(cluster: str, name: str) -> str:
    """The hash of an APIExport: the value of `EXPORT_LABEL`, and the last part of its claim label. `cluster`: an id, never a
    path."""
    return base62_sha224(f"{cluster}:{name}")


def claim_label(cluster: str, name: str) -> str:
    """The key of the claim label of an export."""
    return CLAIM_LABEL_PREFIX + export_hash(cluster, name)


@cached("claim_hashes", bytes_max=512 << 10)
def claim_hash(group: str, resource: str, identity_hash: str = "") -> str:
    """The value of the claim label: a hash of the claim as Go encodes it to JSON, without its verbs and selector."""
    claim: dict[str, str | None] = {"group": group} if group else {}
    claim["resource"] = resource
    claim["verbs"] = None
    if identity_hash:
        claim["identityHash"] = identity_hash
    return base62_sha224(orjson.dumps(claim))


def identity_hash(key: bytes) -> str:
    """The hash in APIExport.status.identityHash. `key`: the bytes of the secret's `key`."""
    return hashlib.sha256(key).hexdigest()


def lifecycle_hash(identifier: str) -> str:
    """The hexadecimal SHA-224 of an initializer or terminator: the value of its label on LogicalClusters."""
    return hashlib.sha224(identifier.encode()).hexdigest()
