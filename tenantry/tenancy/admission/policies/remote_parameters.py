"""Reads the parameters of a provider's policies from the owner of the provider's range, where that is another shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import orjson

from tenantry.apiserver.request import Request
from tenantry.apiserver.user import SYSTEM
from tenantry.kube.objects import Object
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.kube.status import StatusError
from tenantry.placement.paths.directory import Directory
from tenantry.placement.peers import Peers, ask


class RemoteKind(NamedTuple):
    """A kind that another shard serves. `path`: of its group version in the cluster."""

    path: str
    plural: str
    namespaced: bool


class TooMany(Exception):
    """A selector matches more objects than may be parameters."""


class RemoteParameters:
    """Each call is answered by the owner, which decides about its deadline; the caller has one of its own. All raise StatusError:
    503 where the owner cannot be reached."""

    def __init__(self, *, directory: Directory, peers: Peers) -> None:
        self._directory = directory
        self._peers = peers

    async def kind(self, cluster: str, group: str, version: str, kind: str) -> RemoteKind | None:
        """None where the cluster does not serve the kind."""
        path = f"/clusters/{cluster}/apis/{group}/{version}" if group else f"/clusters/{cluster}/api/{version}"
        served = await self._get(cluster, path)
        for resource in (served or {}).get("resources") or ():
            if resource["kind"] == kind and "/" not in resource["name"]:
                return RemoteKind(path, resource["name"], resource["namespaced"])
        return None

    async def named(self, cluster: str, kind: RemoteKind, namespace: str, name: str) -> Sequence[Object]:
        """The object of this name, if there is one."""
        found = await self._get(cluster, f"{_collection(kind, namespace)}/{name}")
        return () if found is None else (found,)

    async def selected(
        self, cluster: str, kind: RemoteKind, namespace: str, selector: LabelSelector, limit: int
    ) -> Sequence[Object]:
        """The objects that a selector matches. Raises TooMany."""
        if selector.nothing:
            return ()
        query = {"limit": str(limit), "labelSelector": str(selector)}
        found = await self._get(cluster, _collection(kind, namespace), urlencode(query)) or {}
        if found.get("metadata", {}).get("continue"):
            raise TooMany
        named = {"apiVersion": found.get("apiVersion", ""), "kind": found.get("kind", "").removesuffix("List")}
        return [{**named, **item} for item in found.get("items") or ()]

    async def _get(self, cluster: str, path: str, query: str = "") -> Object | None:
        """None for 404."""

        async def read_body(limit_bytes: int) -> bytes:
            return b""

        request = Request("GET", path, query, {"accept": "application/json"}, read_body, user=SYSTEM)
        reply = await ask(self._peers, self._directory.locate(cluster).range, request)
        answer: Object = orjson.loads(reply.body)
        if reply.status == 404:
            return None
        if reply.status >= 400:
            raise StatusError(reply.status, answer.get("reason", ""), answer.get("message", ""))
        return answer


def _collection(kind: RemoteKind, namespace: str) -> str:
    return f"{kind.path}/namespaces/{namespace}/{kind.plural}" if namespace else f"{kind.path}/{kind.plural}"
