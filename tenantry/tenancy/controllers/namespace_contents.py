"""The controller of the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` of every namespace.

The first namespaces of a workspace are created with both. The controller creates them in other namespaces, and restores them
(Kubernetes' serviceaccount and root-ca-certificate-publisher controllers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from tenantry.apiserver import local_client
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.resources import CONFIG_MAPS, LOGICAL_CLUSTERS, NAMESPACES, SERVICE_ACCOUNTS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.workspaces.initial_contents import ROOT_CA, default_account, root_bundle

SERVICE_ACCOUNT = "default"


class NamespaceContentsController(ObjectController):
    name = "namespace-contents"

    def __init__(self, *, definitions: SystemDefinitions, scopes: ClusterScopes, ca_certificate: str) -> None:
        self._definitions = definitions
        self._scopes = scopes
        self._ca_certificate = ca_certificate
        self._published = b'"data":' + orjson.dumps(root_bundle("", self._ca_certificate)["data"])

    @property
    def resources(self) -> Sequence[str] | None:
        return (NAMESPACES, SERVICE_ACCOUNTS, CONFIG_MAPS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == NAMESPACES:
            return (key,) if event.previous is None else ()
        if key.name == (SERVICE_ACCOUNT if key.resource == SERVICE_ACCOUNTS else ROOT_CA):
            return (Key(key.cluster, NAMESPACES, "", key.namespace),)
        return ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (None if self._is_complete(range_, record.key) else record.key for record in range_.each(NAMESPACES))

    async def reconcile(self, range_: Range, key: Key) -> None:
        record = range_.get(key)
        if record is None or record.head.deleting or self._is_complete(range_, key):
            return
        if range_.get(Key(key.cluster, LOGICAL_CLUSTERS, "", NAME)) is None:
            # A cluster of the system, or one that is being deleted.
            return
        if range_.get(_account(key)) is None:
            await self._create(key, self._definitions.service_accounts, default_account(key.name))
        wanted = root_bundle(key.name, self._ca_certificate)
        if range_.get(_bundle(key)) is None:
            await self._create(key, self._definitions.config_maps, wanted)
            return

        def repaired(obj: Object) -> Object | None:
            return {**obj, "data": wanted["data"]} if obj.get("data") != wanted["data"] else None

        await local_client.update(self._scopes.cluster(key.cluster), self._definitions.config_maps, key.name, ROOT_CA, repaired)

    def _is_complete(self, range_: Range, key: Key) -> bool:
        bundle = range_.get(_bundle(key))
        return bundle is not None and self._published in bundle.value and range_.get(_account(key)) is not None

    async def _create(self, key: Key, definition: ResourceDefinition, obj: Object) -> None:
        try:
            await local_client.create(self._scopes.cluster(key.cluster), definition, obj, namespace=key.name)
        except StatusError as error:
            # It exists already, or the namespace or the workspace is being deleted.
            if error.code not in (404, 409, 403):
                raise


def _account(namespace: Key) -> Key:
    return Key(namespace.cluster, SERVICE_ACCOUNTS, namespace.name, SERVICE_ACCOUNT)


def _bundle(namespace: Key) -> Key:
    return Key(namespace.cluster, CONFIG_MAPS, namespace.name, ROOT_CA)
