"""`WorkloadType`, which offers one of Kubernetes' workload types: Pods, Deployments, Services, …"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.workloads import facts

WORKLOADS_EXPORT = "kubernetes-workloads"
"""The APIExport in root that offers them."""


@dataclass(frozen=True, slots=True)
class WorkloadType:
    """One type. Its APIResourceSchema has the names, and no fields: those are in a table of the program, which knows more of the
    type than a schema can say (protobuf, strategic merge, defaults)."""

    resource: facts.Resource

    @property
    def group(self) -> str:
        return self.resource.group

    @property
    def plural(self) -> str:
        return self.resource.plural

    @property
    def schema_name(self) -> str:
        """The name of its APIResourceSchema, with a hash of the schema."""
        digest = hashlib.sha224(orjson.dumps(self.schema_spec(), option=orjson.OPT_SORT_KEYS)).hexdigest()
        return f"v{digest[:10]}.{self.plural}.{self.group or 'core'}"

    def schema_spec(self) -> Object:
        """The `spec` of the APIResourceSchema."""
        resource = self.resource
        names: Object = {
            "plural": resource.plural,
            "singular": resource.singular,
            "kind": resource.kind,
            "listKind": f"{resource.kind}List",
        }
        if resource.short_names:
            names["shortNames"] = list(resource.short_names)
        if resource.categories:
            names["categories"] = list(resource.categories)
        versions: list[Object] = [
            {
                "name": version,
                "served": True,
                "storage": version == resource.version,
                "schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "subresources": {"status": {}} if "status" in resource.subresources else {},
            }
            for version in (resource.version, *resource.other_versions)
        ]
        spec: Object = {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": versions,
        }
        if len(versions) > 1:
            spec["conversion"] = {"strategy": "None"}
        return spec

    def define(self, *, identity: str = "", uid: str = "") -> ResourceDefinition:
        """The definition. The first one in a process takes some hundredths of a second."""
        # Imported here: a process in which no logical cluster binds the types does without their rules.
        from tenantry.kube.workloads.definitions import define

        return define(self.resource, identity=identity, uid=uid)


WORKLOAD_TYPES: tuple[WorkloadType, ...] = tuple(map(WorkloadType, facts.resources()))
