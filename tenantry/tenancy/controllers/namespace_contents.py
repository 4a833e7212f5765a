"""What every namespace has from the start: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.

New workspaces are made with both; this fills other namespaces, and puts back what somebody removed (upstream's service account
controller and root certificate publisher).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tenantry.apiserver import objects
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.types.config_map import DEFINITION as CONFIG_MAPS
from tenantry.kube.types.service_account import DEFINITION as SERVICE_ACCOUNTS
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.controllers.namespaces import NAMESPACES
from tenantry.tenancy.reconcile import Controller

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

SERVICE_ACCOUNT = "default"
ROOT_CERTIFICATE = "kube-root-ca.crt"
_SERVICE_ACCOUNTS = "core/serviceaccounts"
_CONFIG_MAPS = "core/configmaps"
_DESCRIPTION = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the server of this workspace. "
    "Kept up to date by the server."
}


def root_certificate(namespace: str, certificate: str) -> Object:
    """The ConfigMap that publishes the CA (PEM) of this server."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": ROOT_CERTIFICATE, "namespace": namespace, "annotations": dict(_DESCRIPTION)},
        "data": {"ca.crt": certificate},
    }


def default_service_account(namespace: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SERVICE_ACCOUNT, "namespace": namespace}}


class NamespaceContents(Controller):
    name = "namespace-contents"

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def resources(self) -> Sequence[str] | None:
        return (NAMESPACES, _SERVICE_ACCOUNTS, _CONFIG_MAPS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == NAMESPACES:
            return (key,) if event.previous is None else ()
        if key.name == (SERVICE_ACCOUNT if key.resource == _SERVICE_ACCOUNTS else ROOT_CERTIFICATE):
            # Its creation needs no look: it was made right, or it is looked at when it changes.
            return (Key(key.cluster, NAMESPACES, "", key.namespace),) if event.previous is not None else ()
        return ()

    def initial_keys(self, held: Range) -> Iterable[Key]:
        return (record.key for record in held.list(NAMESPACES))

    async def reconcile(self, held: Range, key: Key) -> None:
        record = held.get(key)
        if record is None or record.head.deleting or not self._host.directory.path_of(key.cluster):
            return
        namespace = key.name
        if held.get(Key(key.cluster, _SERVICE_ACCOUNTS, namespace, SERVICE_ACCOUNT)) is None:
            await self._create(key, SERVICE_ACCOUNTS, default_service_account(namespace))
        published = held.get(Key(key.cluster, _CONFIG_MAPS, namespace, ROOT_CERTIFICATE))
        wanted = root_certificate(namespace, self._host.ca_certificate)
        if published is None:
            await self._create(key, CONFIG_MAPS, wanted)
        else:

            def repaired(obj: Object) -> Object | None:
                if obj.get("data") == wanted["data"]:
                    return None
                obj["data"] = wanted["data"]
                return obj

            await objects.update(self._host.scope(key.cluster), CONFIG_MAPS, namespace, ROOT_CERTIFICATE, repaired)

    async def _create(self, key: Key, definition: ResourceDefinition, obj: Object) -> None:
        try:
            await objects.create(self._host.scope(key.cluster), definition, obj, namespace=key.name)
        except StatusError as error:
            # Somebody was faster, or the namespace began to go away.
            if error.code not in (404, 409, 403):
                raise
