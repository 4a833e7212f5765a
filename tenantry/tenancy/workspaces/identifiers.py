"""Names that are made and not chosen: cluster ids, default bindings' names, lifecycle labels (kcp's algorithms)."""

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
    """The bytes as one big-endian integer in base 36; `pad` adds a `0` for each leading zero byte."""
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
    """A random id inside the range that begins at `start`: 16 characters of which the first are those of `start`.

    Every id that begins with the start of a range lies in it, for the registry's intervals end after that prefix.
    """
    drawn = base36(hashlib.sha224(secrets.token_bytes(32)).digest(), pad=True)
    return (start + drawn)[: max(ID_LENGTH, len(start) + 8)]


def default_binding_name(cluster: str, export_path: str, export: str) -> str:
    """The name of the APIBinding that a workspace type brings into `cluster`."""
    digest = base62_sha224(f"{cluster}|{export_path}|{export}")[:5].lower()
    return f"{export[:_EXPORT_NAME_LENGTH]}-{digest}"


@cached("initializer_labels", bytes_max=256 << 10)
def initializer_label(identifier: str) -> tuple[str, str]:
    """The label of a LogicalCluster that waits for this initializer: key and value."""
    return _lifecycle_label(INITIALIZER_LABEL_PREFIX, identifier)


@cached("terminator_labels", bytes_max=256 << 10)
def terminator_label(identifier: str) -> tuple[str, str]:
    """The label of a LogicalCluster that waits for this terminator: key and value."""
    return _lifecycle_label(TERMINATOR_LABEL_PREFIX, identifier)


def _lifecycle_label(prefix: str, identifier: str) -> tuple[str, str]:
    digest = lifecycle_hash(identifier)
    return prefix + digest[: _LABEL_LENGTH - len(prefix)], digest
