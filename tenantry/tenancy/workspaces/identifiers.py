"""Generated names: cluster ids, names of default APIBindings, and labels of initializers and terminators (kcp's algorithms)."""

from __future__ import annotations

import hashlib
import secrets

from tenantry.base.cache import cached
from tenantry.tenancy.exports.hashing import base62_sha224, lifecycle_hash

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 16
INITIALIZER_LABEL_PREFIX = "initializer.internal.kcp.io/"
TERMINATOR_LABEL_PREFIX = "terminator.internal.kcp.io/"
_LABEL_LENGTH = 63
_EXPORT_NAME_LENGTH = 247


def base36(data: bytes, *, pad: bool = False) -> str:
    """The bytes as a big-endian integer in base 36. `pad` adds a `0` for each leading zero byte."""
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    text = "".join(reversed(digits))
    if pad:
        text = "0" * (len(data) - len(data.lstrip(b"\0"))) + text
    return text


def new_cluster_id(start: str) -> str:
    """A random cluster id in the range that begins at `start`: `start` and random characters, usually 16 in all.

    Every id with the prefix `start` is in the range: the registry's intervals end after that prefix.
    """
    drawn = base36(hashlib.sha224(secrets.token_bytes(32)).digest(), pad=True)
    return (start + drawn)[: max(ID_LENGTH, len(start) + 8)]


def default_binding_name(cluster: str, export_path: str, export: str) -> str:
    """The name of the APIBinding that a workspace type creates in `cluster` (id)."""
    digest = base62_sha224(f"{cluster}|{export_path}|{export}")[:5].lower()
    return f"{export[:_EXPORT_NAME_LENGTH]}-{digest}"


@cached("initializer_labels", bytes_max=256 << 10)
def initializer_label(identifier: str) -> tuple[str, str]:
    """(key, value) of the label of a LogicalCluster that waits for this initializer."""
    return _lifecycle_label(INITIALIZER_LABEL_PREFIX, identifier)


@cached("terminator_labels", bytes_max=256 << 10)
def terminator_label(identifier: str) -> tuple[str, str]:
    """(key, value) of the label of a LogicalCluster that waits for this terminator."""
    return _lifecycle_label(TERMINATOR_LABEL_PREFIX, identifier)


def _lifecycle_label(prefix: str, identifier: str) -> tuple[str, str]:
    digest = lifecycle_hash(identifier)
    return prefix + digest[: _LABEL_LENGTH - len(prefix)], digest
