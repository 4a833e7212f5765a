"""The types that a server has, from its discovery documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tenantry_sync_agent.api_client import ApiClient, Object

_SYNCED_VERBS = frozenset({"get", "list", "watch", "patch"})


class Type(NamedTuple):
    """`has_status`: whether it has a status subresource that takes patches."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]
    has_status: bool

    @property
    def name(self) -> str:
        """`deployments.apps`, as kubectl writes it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """The path before the namespace: `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of all objects, of those of a namespace, or of one."""
        place = f"{self.prefix}/namespaces/{namespace}/{self.plural}" if namespace else f"{self.prefix}/{self.plural}"
        return f"{place}/{name}" if name else place


NAMESPACES = Type("", "v1", "namespaces", "Namespace", False, frozenset(), False)

Types = Mapping[tuple[str, str], Mapping[str, Type]]
"""(group, plural) → version → type. The version that the server prefers comes first."""


async def discover(client: ApiClient, base: str) -> Types:
    """All types below a URL. Raises ApiError and Unreachable."""
    group_versions = [("", "v1")]
    for group in (await client.get(f"{base}/apis"))["groups"]:
        preferred = (group.get("preferredVersion") or {}).get("version")
        versions = [version["version"] for version in group["versions"]]
        versions.sort(key=lambda version: version != preferred)
        group_versions += [(group["name"], version) for version in versions]
    found: dict[tuple[str, str], dict[str, Type]] = {}
    for name, version in group_versions:
        path = f"/apis/{name}/{version}" if name else f"/api/{version}"
        document = await client.get(base + path)
        for kind in types_of(name, version, document):
            found.setdefault((name, kind.plural), {})[version] = kind
    return found


def types_of(group: str, version: str, document: Object) -> list[Type]:
    """The types of an APIResourceList."""
    resources = document.get("resources") or ()
    subresources = {entry["name"]: frozenset(entry["verbs"]) for entry in resources if "/" in entry["name"]}
    return [
        Type(
            group,
            version,
            entry["name"],
            entry["kind"],
            bool(entry["namespaced"]),
            frozenset(entry["verbs"]),
            "patch" in subresources.get(f"{entry['name']}/status", ()),
        )
        for entry in resources
        if "/" not in entry["name"]
    ]


def synced(above: Types, below: Types) -> dict[tuple[str, str], Type]:
    """The types that both servers have in a common version, as the server above serves them."""
    chosen: dict[tuple[str, str], Type] = {}
    for name, versions in above.items():
        for version, kind in versions.items():
            other = below.get(name, {}).get(version)
            if other is not None and kind.namespaced and other.namespaced and kind.verbs >= _SYNCED_VERBS:
                chosen[name] = kind
                break
    return chosen
