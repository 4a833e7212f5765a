"""The controller of identities of APIExports.

The identity is a key in a Secret of the provider's workspace. Its hash is part of the storage key of all objects of the export
(kcp).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Sequence
from functools import partial

from tenantry.apiserver import records
from tenantry.controllers.object_controller import ObjectController, enqueue_where
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.types.namespace import living
from tenantry.placement.range_map import RangeMap
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports.conditions import mark_false, mark_true, remove
from tenantry.tenancy.exports.export_urls import export_url
from tenantry.tenancy.exports.hashing import identity_hash
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import API_EXPORTS, NAMESPACES, SECRETS
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


class IdentityController(ObjectController):
    """Creates the Secret of an APIExport, sets status.identityHash, and reports in a condition if the two do not match.

    `publish_on_exports`: whether `status.virtualWorkspaces` lists the URLs of all ranges (deprecated in kcp, off by default).
    """

    name = "apiexport-identity"

    def __init__(
        self,
        *,
        cell: Cell,
        definitions: SystemDefinitions,
        range_map: RangeMap,
        urls: Urls,
        changes: Changes,
        publish_on_exports: bool = False,
    ) -> None:
        self._cell = cell
        self._definitions = definitions
        self._range_map = range_map
        self._urls = urls
        self._changes = changes
        self._publish = publish_on_exports
        if publish_on_exports:
            self._range_map.subscribe(self._map_changed)

    @property
    def resources(self) -> Sequence[str]:
        return (API_EXPORTS, SECRETS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == API_EXPORTS:
            return (key,)
        if not self._cell.owns(key.cluster):
            return ()
        # `reconcile` finds the exports that refer to the Secret, in slices.
        return (key,) if self._cell.range_of(key.cluster).has_any(API_EXPORTS, key.cluster) else ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(API_EXPORTS))

    async def reconcile(self, range_: Range, key: Key) -> None:
        if key.resource == SECRETS:
            secret = {"namespace": key.namespace, "name": key.name}
            exports = range_.each(API_EXPORTS, key.cluster)
            await enqueue_where(
                self.enqueue, exports, lambda export: _reference(decoded(export), export.key.name) == secret, piece=1
            )
            return
        await transact(self._cell, (key,), lambda: self._compute(range_, key))

    def _compute(self, range_: Range, key: Key) -> list[Change]:
        record = range_.get(key)
        if record is None or record.head.deleting:
            return []
        definitions = self._definitions
        export = records.decode(record, definitions.api_exports, definitions.api_exports.storage_version)
        spec = export.setdefault("spec", {})
        status = dict(export.get("status") or {})
        changes: list[Change] = []
        reference = _reference(export, key.name)
        if not (spec.get("identity") or {}).get("secretRef"):
            spec["identity"] = {"secretRef": reference}
        secret_record = range_.get(Key(key.cluster, SECRETS, reference["namespace"], reference["name"]))
        if secret_record is not None:
            secret = decoded(secret_record)
        elif reference["namespace"] == IDENTITY_NAMESPACE and not status.get("identityHash"):
            secret = identity_secret(reference["name"], new_identity_key())
            if range_.get(Key(key.cluster, NAMESPACES, "", IDENTITY_NAMESPACE)) is None:
                namespace = living(IDENTITY_NAMESPACE)
                changes.append(self._changes.created(definitions.namespaces, key.cluster, namespace))
            changes.append(self._changes.created(definitions.secrets, key.cluster, secret))
        else:
            secret = None
        self._set_identity_condition(status, secret, f"{reference['namespace']}/{reference['name']}")
        self._list_urls(status, key)
        if status != (export.get("status") or {}) or spec != decoded(record).get("spec"):
            export["status"] = status
            changes.append(self._changes.updated(definitions.api_exports, record, export))
        return changes

    def _set_identity_condition(self, status: Object, secret: Object | None, place: str) -> None:
        now = timestamp()
        failure = "IdentityVerificationFailed"
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

    def _list_urls(self, status: Object, key: Key) -> None:
        if not self._publish:
            status.pop("virtualWorkspaces", None)
            remove(status, "VirtualWorkspaceURLsReady")
            return
        names = sorted(known.name for known in self._range_map.ranges())
        status["virtualWorkspaces"] = [{"url": export_url(self._urls, name, key.cluster, key.name)} for name in names]
        mark_true(status, "VirtualWorkspaceURLsReady", timestamp())

    def _map_changed(self) -> None:
        for range_ in self._cell.ranges.values():
            self.enqueue_all(("map", range_.name), partial(self.initial_keys, range_))


def _reference(export: Object, name: str) -> dict[str, str]:
    """(namespace, name) of the Secret with the identity key: the one that the export names, or the default one."""
    said = ((export.get("spec") or {}).get("identity") or {}).get("secretRef")
    if not said:
        return {"namespace": IDENTITY_NAMESPACE, "name": name}
    return {"namespace": said.get("namespace") or "", "name": said.get("name") or ""}
