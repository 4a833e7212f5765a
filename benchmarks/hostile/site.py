"""Where a tenant is on a server under attack: a workspace of ours, or a namespace of kube-apiserver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """`prefix` begins its paths: `/clusters/<id>`, or nothing. `token` is its administrator's, who is nobody elsewhere."""

    prefix: str
    namespace: str
    token: str

    def core(self, resource: str) -> str:
        """The path of a resource of the core group in the tenant's namespace."""
        return f"{self.prefix}/api/v1/namespaces/{self.namespace}/{resource}"

    def group(self, group_version: str, resource: str, *, namespaced: bool = False) -> str:
        """The path of a resource of another group."""
        inside = f"namespaces/{self.namespace}/" if namespaced else ""
        return f"{self.prefix}/apis/{group_version}/{inside}{resource}"
