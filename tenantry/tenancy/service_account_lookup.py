"""Looks up whether a service account, or what a token is bound to, still exists. Called for each token that is not cached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import orjson

from tenantry.apiserver.authentication.authenticator import UnionAuthenticator
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import SYSTEM
from tenantry.kube.api_set import ApiSet
from tenantry.kube.objects import Object
from tenantry.kube.status import unavailable
from tenantry.placement.peers import Peers, ask
from tenantry.placement.range_map import RangeMap
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.resources import SECRETS, SERVICE_ACCOUNTS

_STORED = {"serviceaccounts": SERVICE_ACCOUNTS, "secrets": SECRETS}
_NO_APIS = ApiSet(())


class ServiceAccountLookup:
    """Reads from memory for clusters of this shard, otherwise asks the shard that owns the range. `apis`: those of a cluster of
    this shard, which has Pods and Nodes only where it binds them; set before the first look-up."""

    def __init__(self, cell: Cell, range_map: RangeMap, peers: Peers) -> None:
        self._cell = cell
        self._range_map = range_map
        self._peers = peers
        self.apis: Callable[[str], Awaitable[ApiSet]] = _none

    async def __call__(self, cluster: str, resource: str, namespace: str, name: str) -> str | None:
        """The uid; None if the object does not exist. Raises StatusError 503 if the range's owner does not answer."""
        if self._cell.owns(cluster):
            record = await self._record(cluster, resource, namespace, name)
            return record.head.uid if record is not None else None
        info = self._range_map.range_of(cluster)
        if info is None:
            return None
        within = f"namespaces/{namespace}/" if namespace else ""
        path = f"/clusters/{cluster}/api/v1/{within}{resource}/{name}"
        reply = await ask(self._peers, info.name, Request("GET", path, user=SYSTEM))
        if reply.status == 404:
            return None
        if reply.status != 200:
            # A token is not invalid because its range has no owner at the moment.
            raise unavailable(
                f"cannot check whether the token's service account exists: range {info.name} does not answer; try again"
            )
        metadata = orjson.loads(reply.body)["metadata"]
        return None if metadata.get("deletionTimestamp") else str(metadata["uid"])

    async def read(self, cluster: str, resource: str, namespace: str, name: str) -> Object | None:
        """The object, of a cluster of this shard. Raises NotOwned."""
        record = await self._record(cluster, resource, namespace, name)
        return orjson.loads(record.value) if record is not None else None

    async def _record(self, cluster: str, resource: str, namespace: str, name: str) -> Record | None:
        storage_key = _STORED.get(resource)
        if storage_key is None:
            found = (await self.apis(cluster)).find("", "v1", resource)
            # Another export may have objects of that name, which are no Pods.
            if found is None or found[0].custom:
                return None
            storage_key = found[0].storage_key
        record = self._cell.range_of(cluster).get(Key(cluster, storage_key, namespace, name))
        return record if record is not None and not record.head.deleting else None


async def _none(cluster: str) -> ApiSet:
    return _NO_APIS


def forget_tokens(authenticator: UnionAuthenticator, range_: Range) -> Callable[[], None]:
    """Drops the cached tokens of a service account or Secret when it is deleted, and no others: tenants delete as often as they
    like. Other shards drop them within seconds, and so do all for a token of a Pod or Node."""

    def changed(events: Sequence[RecordEvent]) -> None:
        for event in events:
            if event.previous is not None and (event.record is None or event.record.head.deleting):
                authenticator.forget_object(event.previous.head.uid)

    stops = [range_.subscribe(changed, resource) for resource in (SERVICE_ACCOUNTS, SECRETS)]

    def stop() -> None:
        for each in stops:
            each()

    return stop
