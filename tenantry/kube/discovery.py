"""Discovery documents of a set of APIs: the legacy lists and the aggregated documents (KEP-3352).

Callers cache the encoded documents with the set.
"""

from __future__ import annotations

import base64
import hashlib

from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object, group_version
from tenantry.kube.version_order import sort_versions

# Subresources whose kind is in another group.
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_TOKEN_REQUEST = {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
_KINDS: dict[str, Object] = {"scale": _SCALE, "token": _TOKEN_REQUEST}

# The order in which kube-apiserver lists its own groups; custom ones follow by name.
_GROUP_ORDER = (
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "storagemigration.k8s.io",
)


def core_versions() -> Object:
    """`/api`: APIVersions."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    }


def group_list(apis: ApiSet) -> Object:
    """`/apis`: APIGroupList."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(apis, g) for g in _groups(apis) if g]}


def group(apis: ApiSet, name: str) -> Object | None:
    """`/apis/<group>`: APIGroup; None where the group is not served."""
    if not name or name not in apis.groups():
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(apis, name)}


def resource_list(apis: ApiSet, group_name: str, version: str) -> Object | None:
    """`/apis/<group>/<version>` and `/api/v1`: APIResourceList; None where the version is not served."""
    if not apis.has(group_name, version):
        return None
    return _resource_list(apis, group_name, version)


def aggregated(apis: ApiSet, *, core: bool, version: str) -> Object:
    """`/api` (core) or `/apis` as one APIGroupDiscoveryList. `version` is that of apidiscovery.k8s.io, v2 or v2beta1."""
    items: list[Object] = []
    for name in [""] if core else [g for g in _groups(apis) if g]:
        if name not in apis.groups():
            continue
        versions = [
            {
                "version": v,
                "resources": [_discovered(d, its) for d, its in served(apis, name, v) if d.listed],
                "freshness": "Current",
            }
            for v in sort_versions(apis.groups()[name])
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


def _groups(apis: ApiSet) -> list[str]:
    known = {name: index for index, name in enumerate(_GROUP_ORDER)}
    return sorted(apis.groups(), key=lambda g: (known.get(g, len(known)), g))


def _group(apis: ApiSet, name: str) -> Object:
    versions = [{"groupVersion": group_version(name, v), "version": v} for v in sort_versions(apis.groups()[name])]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def served(apis: ApiSet, group_name: str, version: str) -> list[tuple[ResourceDefinition, Version]]:
    """The types of a group version by plural. Where two have the same plural, the first wins, as for requests."""
    found: dict[str, tuple[ResourceDefinition, Version]] = {}
    for definition in apis.of_group(group_name):
        if definition.plural not in found:
            pair = apis.find(group_name, version, definition.plural)
            if pair is not None:
                found[definition.plural] = pair
    return [found[plural] for plural in sorted(found)]


def _resource_list(apis: ApiSet, group_name: str, version: str) -> Object:
    resources: list[Object] = []
    for definition, its_version in served(apis, group_name, version):
        if not definition.listed:
            continue
        resources += _resources(definition, its_version)
    document: Object = {"kind": "APIResourceList", "groupVersion": group_version(group_name, version), "resources": resources}
    if group_name:
        document["apiVersion"] = "v1"
    return document


def _resources(definition: ResourceDefinition, version: Version) -> list[Object]:
    main: Object = {
        "name": definition.plural,
        "singularName": definition.singular,
        "namespaced": definition.namespaced,
        "kind": definition.kind,
        "verbs": _verbs(definition),
    }
    if definition.short_names:
        main["shortNames"] = list(definition.short_names)
    if definition.categories:
        main["categories"] = list(definition.categories)
    if definition.stored:
        main["storageVersionHash"] = storage_version_hash(definition)
    entries = [main]
    # Of a custom type the status comes first (upstream).
    for name in sorted(version.subresources, reverse=definition.custom):
        entry: Object = {
            "name": f"{definition.plural}/{name}",
            "singularName": "",
            "namespaced": definition.namespaced,
            "kind": definition.kind,
            "verbs": _subresource_verbs(definition, version, name),
        }
        entries.append(entry | _KINDS.get(name, {}))
    return entries


def _verbs(definition: ResourceDefinition) -> list[str]:
    """The verbs to list. Objects of a type that is being deleted can still be changed, but only reading and deleting is listed
    (upstream)."""
    if definition.terminating:
        return [verb for verb in definition.verbs if verb not in ("create", "patch", "update")]
    return list(definition.verbs)


def _subresource_verbs(definition: ResourceDefinition, version: Version, name: str) -> list[str] | None:
    """None, which Go clients read as no verbs, for a type with virtual storage (kcp)."""
    verbs = list(version.verbs_of(name))
    return None if not verbs and definition.virtual_storage is not None else verbs


def storage_version_hash(definition: ResourceDefinition) -> str:
    """Clients compare it to notice a change of the stored version (apiserver's discovery.StorageVersionHash)."""
    group_name, _ = definition.storage_group_resource or definition.group_resource
    version = definition.upstream_storage_version or definition.storage_version
    text = f"{group_name}/{version}/{definition.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _discovered(definition: ResourceDefinition, version: Version) -> Object:
    own_kind = _response_kind(definition, version)
    entry: Object = {
        "resource": definition.plural,
        "responseKind": own_kind,
        "scope": "Namespaced" if definition.namespaced else "Cluster",
        "singularResource": definition.singular,
        "verbs": _verbs(definition),
    }
    if definition.short_names:
        entry["shortNames"] = list(definition.short_names)
    if definition.categories:
        entry["categories"] = list(definition.categories)
    if version.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _KINDS.get(name, own_kind),
                "verbs": _subresource_verbs(definition, version, name),
            }
            for name in sorted(version.subresources, reverse=definition.custom)
        ]
    return entry


def _response_kind(definition: ResourceDefinition, version: Version) -> Object:
    if definition.custom:
        return {"group": definition.group, "version": version.name, "kind": definition.kind}
    # Upstream leaves group and version of kinds in the same group version empty.
    return {"group": "", "version": "", "kind": definition.kind}
