"""Reads and writes objects in ranges of other shards, by requests to these shards."""

from __future__ import annotations

from typing import Any

import orjson

from tenantry.apiserver.request import Request
from tenantry.apiserver.user import SYSTEM
from tenantry.http.messages import Response
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError, internal
from tenantry.placement.paths.directory import Directory
from tenantry.placement.peers import Peers
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME


class RemoteObjects:
    """Calls to the owner of a cluster's range. All raise StatusError: 503 if the owner cannot be reached."""

    def __init__(self, *, directory: Directory, definitions: SystemDefinitions, peers: Peers, shard_name: str) -> None:
        self._directory = directory
        self._definitions = definitions
        self._peers = peers
        self._shard_name = shard_name

    async def get_logical_cluster(self, cluster: str) -> Object | None:
        return await self._get(cluster, self._definitions.logical_clusters, NAME)

    async def create_logical_cluster(self, cluster: str, obj: Object, *, beyond_capacity: bool = False) -> Object:
        """Creates the LogicalCluster of a cluster (id); returns it, or the existing one.

        Raises StatusError 429 if the range is full, unless `beyond_capacity`.
        """
        definition = self._definitions.logical_clusters
        body = {"apiVersion": definition.api_version(definition.storage_version), "kind": definition.kind, **obj}
        try:
            return await self._call("POST", cluster, definition, "", body, beyond_capacity=beyond_capacity)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        found = await self.get_logical_cluster(cluster)
        if found is None:
            raise internal(f"logical cluster {cluster} exists and does not exist")
        return found

    async def delete_logical_cluster(self, cluster: str) -> bool:
        """Deletes the LogicalCluster of a cluster. Returns False if it does not exist."""
        try:
            await self._call("DELETE", cluster, self._definitions.logical_clusters, NAME)
        except StatusError as error:
            if _is_absence(error, self._definitions.logical_clusters, NAME):
                return False
            raise
        return True

    async def get_workspace(self, cluster: str, name: str) -> Object | None:
        return await self._get(cluster, self._definitions.workspaces, name)

    async def patch_workspace_status(self, cluster: str, name: str, status: Object) -> None:
        """Merges `status` into the status of a Workspace. Does nothing if the Workspace does not exist."""
        try:
            await self._call("PATCH", cluster, self._definitions.workspaces, f"{name}/status", {"status": status})
        except StatusError as error:
            if error.code != 404:
                raise

    async def _get(self, cluster: str, definition: ResourceDefinition, name: str) -> Object | None:
        try:
            return await self._call("GET", cluster, definition, name)
        except StatusError as error:
            if _is_absence(error, definition, name):
                return None
            raise

    async def _call(
        self,
        method: str,
        cluster: str,
        definition: ResourceDefinition,
        name: str,
        body: Any = None,
        *,
        beyond_capacity: bool = False,
    ) -> Object:
        location = self._directory.locate(cluster)
        path = f"/clusters/{cluster}/apis/{definition.api_version(definition.storage_version)}/{definition.plural}"
        content = orjson.dumps(body) if body is not None else b""

        async def read_body(limit_bytes: int) -> bytes:
            return content

        request = Request(
            method=method,
            path=f"{path}/{name}" if name else path,
            headers={
                "content-type": "application/merge-patch+json" if method == "PATCH" else "application/json",
                "accept": "application/json",
                "user-agent": f"tenantry/{self._shard_name}",
            },
            read_body=read_body,
            user=SYSTEM,
            beyond_capacity=beyond_capacity,
        )
        reply = await self._peers.call(location.range, request)
        if not isinstance(reply, Response):
            raise internal(f"{method} {path} was answered with a stream")
        answer: Object = orjson.loads(reply.body)
        if reply.status >= 400:
            raise StatusError(reply.status, answer.get("reason", ""), answer.get("message", ""), details=answer.get("details"))
        return answer


def _is_absence(error: StatusError, definition: ResourceDefinition, name: str) -> bool:
    """Whether a 404 says that this object does not exist. Other 404s are about the cluster or the API, and do not prove that:
    callers delete things because of this answer."""
    details = error.details or {}
    return error.code == 404 and details.get("kind") == definition.plural and details.get("name") == name
