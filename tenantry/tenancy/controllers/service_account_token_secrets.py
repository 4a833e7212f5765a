"""The controller of Secrets of type `kubernetes.io/service-account-token` (Kubernetes' tokens controller).

It writes a token that is valid while the Secret exists, and deletes the Secret with its service account.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Protocol

import orjson

from tenantry.apiserver import local_client
from tenantry.apiserver.authentication.service_account_tokens import BoundObject
from tenantry.apiserver.verbs.options import DeleteOptions
from tenantry.controllers.object_controller import CollectionController, ObjectCollection, enqueue_where
from tenantry.kube.objects import Object, annotations_of, metadata_of
from tenantry.kube.types.secret import DEFINITION, SERVICE_ACCOUNT_NAME_ANNOTATION, SERVICE_ACCOUNT_TOKEN
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.resources import SECRETS, SERVICE_ACCOUNTS

SERVICE_ACCOUNT_UID_ANNOTATION = "kubernetes.io/service-account.uid"


class Issue(Protocol):
    def __call__(self, *, cluster: str, namespace: str, name: str, uid: str, secret: BoundObject) -> str:
        """A token of a service account that is valid while the Secret exists."""
        ...


class ServiceAccountTokenController(CollectionController):
    name = "service-account-token-secrets"

    def __init__(self, issue: Issue, *, cell: Cell, scopes: ClusterScopes, ca_certificate: str) -> None:
        self._cell = cell
        self._scopes = scopes
        self._ca_certificate = ca_certificate
        self._issue = issue

    @property
    def resources(self) -> Sequence[str] | None:
        return (SECRETS, SERVICE_ACCOUNTS)

    def keys(self, event: RecordEvent) -> Iterable[Key | ObjectCollection]:
        key = event.key
        if key.resource == SECRETS:
            return (key,) if event.record is not None and _is_token(event.record) else ()
        cell = self._cell
        if event.record is not None or not cell.owns(key.cluster):
            return ()
        if not cell.range_of(key.cluster).has_any(SECRETS, key.cluster, key.namespace):
            return ()
        return (ObjectCollection(key.cluster, key.namespace),)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key if _is_token(record) else None for record in range_.each(SECRETS))

    async def reconcile(self, range_: Range, key: Key | ObjectCollection) -> None:
        if isinstance(key, ObjectCollection):
            await enqueue_where(self.enqueue, range_.each(SECRETS, key.cluster, key.namespace), _is_token)
            return
        record = range_.get(key)
        if record is None or record.head.deleting or not _is_token(record):
            return
        secret: Object = orjson.loads(record.value)
        annotations = annotations_of(secret)
        name = annotations.get(SERVICE_ACCOUNT_NAME_ANNOTATION, "")
        account = range_.get(Key(key.cluster, SERVICE_ACCOUNTS, key.namespace, name))
        scope = self._scopes.cluster(key.cluster)
        if account is None or annotations.get(SERVICE_ACCOUNT_UID_ANNOTATION, account.head.uid) != account.head.uid:
            options = DeleteOptions(uid=record.head.uid, resource_version=str(record.version))
            await local_client.delete(scope, DEFINITION, key.namespace, key.name, options=options)
            return
        if self._missing(secret, ""):
            bound = BoundObject("Secret", key.name, record.head.uid)
            token = self._issue(cluster=key.cluster, namespace=key.namespace, name=name, uid=account.head.uid, secret=bound)

            def filled(obj: Object) -> Object | None:
                missing = self._missing(obj, token)
                if missing:
                    obj["data"] = {**(obj.get("data") or {}), **missing}
                    metadata_of(obj).setdefault("annotations", {})[SERVICE_ACCOUNT_UID_ANNOTATION] = account.head.uid
                return obj if missing else None

            await local_client.update(scope, DEFINITION, key.namespace, key.name, filled)

    def _missing(self, secret: Object, token: str) -> dict[str, str]:
        """The entries that its data lacks, in base64. `token`: the value for a missing token."""
        data = secret.get("data") or {}
        wanted = {"ca.crt": _base64(self._ca_certificate), "namespace": _base64(metadata_of(secret)["namespace"])}
        missing = {key: value for key, value in wanted.items() if data.get(key) != value}
        if not data.get("token"):
            missing["token"] = _base64(token)
        return missing


def _is_token(record: Record) -> bool:
    return record.head.fields.get("type") == SERVICE_ACCOUNT_TOKEN


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
