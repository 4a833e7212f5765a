"""The place of a tenant on a server under attack: a workspace of tenantry, or a namespace of kube-apiserver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """One place. `prefix`: of its paths, `/clusters/<id>` or empty. `token`: of its administrator, who has no rights
    elsewhere."""

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
