"""Identities of what a workspace offers to others: a key in a Secret of the workspace, and its hash in a status (kcp)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence

from tenantry.kube.objects import Object, timestamp
from tenantry.kube.types.namespace import living
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.tenancy.exports.conditions import mark_false, mark_true
from tenantry.tenancy.exports.hashing import identity_hash
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import NAMESPACES, SECRETS
from tenantry.tenancy.types import SystemDefinitions

IDENTITY_NAMESPACE = "kcp-system"
IDENTITY_KEY = "key"
IDENTITY_VALID = "IdentityValid"
KEY_BYTES = 32


def new_identity_key() -> str:
    """A new identity key: 256 random bits as 43 characters."""
    return secrets.token_urlsafe(KEY_BYTES)


def identity_secret(name: str, key: str) -> Object:
    """The Secret with an identity key."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": IDENTITY_NAMESPACE},
        "type": "Opaque",
        "data": {IDENTITY_KEY: base64.b64encode(key.encode()).decode()},
    }


def hash_of_secret(secret: Object) -> str:
    """The identity hash of a Secret. Raises ValueError if its key is missing or not base64."""
    encoded = (secret.get("data") or {}).get(IDENTITY_KEY) or ""
    key = base64.b64decode(encoded, validate=True)
    if not key:
        raise ValueError(f'secret is missing data "{IDENTITY_KEY}"')
    return identity_hash(key)


def secret_reference(obj: Object, name: str) -> dict[str, str]:
    """(namespace, name) of the Secret with the identity key: the one that the object names, or the default one of this name."""
    said = ((obj.get("spec") or {}).get("identity") or {}).get("secretRef")
    if not said:
        return {"namespace": IDENTITY_NAMESPACE, "name": name}
    return {"namespace": said.get("namespace") or "", "name": said.get("name") or ""}


def set_identity(status: Object, secret: Object | None, reference: Mapping[str, str]) -> None:
    """Sets identityHash in a status if it has none, and the condition that says whether it is that of the Secret."""
    now = timestamp()
    failure = "IdentityVerificationFailed"
    place = f"{reference['namespace']}/{reference['name']}"
    if secret is None:
        mark_false(status, IDENTITY_VALID, failure, f'secret "{place}" not found', now)
        return
    try:
        actual = hash_of_secret(secret)
    except ValueError as error:
        mark_false(status, IDENTITY_VALID, failure, f"{place}: {error}", now)
        return
    expected = status.setdefault("identityHash", actual)
    if expected != actual:
        message = f'hash mismatch: identity secret hash "{actual}" must match status.identityHash "{expected}"'
        mark_false(status, IDENTITY_VALID, failure, message, now)
    else:
        mark_true(status, IDENTITY_VALID, now)


class IdentitySecrets:
    """Finds the Secrets with identity keys, and makes new ones."""

    def __init__(self, definitions: SystemDefinitions, changes: Changes) -> None:
        self._definitions = definitions
        self._changes = changes

    def secret(
        self, range_: Range, cluster: str, reference: Mapping[str, str], *, new: bool
    ) -> tuple[Sequence[Change], Object | None]:
        """The Secret (None: there is none), and the changes that create it. `new`: whether it may be created."""
        record = range_.get(Key(cluster, SECRETS, reference["namespace"], reference["name"]))
        if record is not None:
            return (), decoded(record)
        if not new or reference["namespace"] != IDENTITY_NAMESPACE:
            return (), None
        changes: list[Change] = []
        secret = identity_secret(reference["name"], new_identity_key())
        if range_.get(Key(cluster, NAMESPACES, "", IDENTITY_NAMESPACE)) is None:
            changes.append(self._changes.created(self._definitions.namespaces, cluster, living(IDENTITY_NAMESPACE)))
        changes.append(self._changes.created(self._definitions.secrets, cluster, secret))
        return changes, secret
