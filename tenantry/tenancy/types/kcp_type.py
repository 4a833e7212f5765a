"""`KcpType`, which describes one of kcp's types. Definitions and APIResourceSchemas are made from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from tenantry.kube.custom import definition_from_api_resource_schema
from tenantry.kube.definition import ResourceDefinition, Strategy
from tenantry.kube.objects import Object

Properties = dict[str, Object]
Conversion = Callable[[Object], Object]


@dataclass(frozen=True, slots=True, kw_only=True)
class KcpVersion:
    """One version of a type. `spec` and `status`: OpenAPI v3 schemas. `columns`: (name, type, JSON path).

    `from_storage` and `to_storage`: conversions of a decoded object; None for the storage version.
    """

    name: str
    spec: Object | None = None
    status: Object | None = None
    more: Properties = field(default_factory=dict)
    required: tuple[str, ...] = ()
    rules: tuple[Object, ...] = ()
    columns: tuple[tuple[str, str, str], ...] = ()
    selectable: tuple[str, ...] = ()
    description: str = ""
    storage: bool = True
    from_storage: Conversion | None = None
    to_storage: Conversion | None = None

    def schema(self) -> Object:
        properties: Properties = {
            "apiVersion": string(description="Defines the versioned schema of this representation of an object."),
            "kind": string(description="The REST resource that this object represents."),
            "metadata": {"type": "object"},
        }
        if self.spec is not None:
            properties["spec"] = self.spec
        if self.status is not None:
            properties["status"] = self.status
        properties.update(self.more)
        schema: Object = {"type": "object", "properties": properties}
        if self.description:
            schema["description"] = self.description
        if self.required:
            schema["required"] = list(self.required)
        if self.rules:
            schema["x-kubernetes-validations"] = list(self.rules)
        return schema


@dataclass(frozen=True, slots=True, kw_only=True)
class KcpType:
    """One of kcp's types, or of the project's own. All are cluster-scoped. Those of kcp are in the category `kcp`."""

    group: str
    plural: str
    singular: str
    kind: str
    versions: tuple[KcpVersion, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ("kcp",)
    strategy: Callable[[Strategy], Strategy] | None = None

    @property
    def schema_name(self) -> str:
        """The name of its APIResourceSchema. It has a hash of the schema, because schemas are immutable."""
        digest = hashlib.sha224(orjson.dumps(self.schema_spec(), option=orjson.OPT_SORT_KEYS)).hexdigest()
        return f"v{digest[:10]}.{self.plural}.{self.group}"

    def schema_spec(self) -> Object:
        """The `spec` of the APIResourceSchema."""
        names: Object = {
            "plural": self.plural,
            "singular": self.singular,
            "kind": self.kind,
            "listKind": f"{self.kind}List",
            "categories": list(self.categories),
        }
        if self.short_names:
            names["shortNames"] = list(self.short_names)
        spec: Object = {
            "group": self.group,
            "names": names,
            "scope": "Cluster",
            "versions": [_schema_version(version) for version in self.versions],
        }
        if len(self.versions) > 1:
            spec["conversion"] = {"strategy": "None"}
        return spec

    def define(self, *, identity: str = "", uid: str = "") -> ResourceDefinition:
        """The definition, with the strategy and conversions of the type."""
        metadata = {"name": self.schema_name, "uid": uid}
        made = definition_from_api_resource_schema({"metadata": metadata, "spec": self.schema_spec()}, identity=identity)
        versions = dict(made.versions)
        for version in self.versions:
            if version.from_storage is not None:
                versions[version.name] = replace(
                    versions[version.name], from_storage=version.from_storage, to_storage=version.to_storage
                )
        strategy = self.strategy(made.strategy) if self.strategy is not None else made.strategy
        return replace(made, versions=versions, strategy=strategy, memory_bytes=0)


def _schema_version(version: KcpVersion) -> Object:
    out: Object = {"name": version.name, "served": True, "storage": version.storage, "schema": version.schema()}
    out["subresources"] = {"status": {}} if version.status is not None else {}
    out["additionalPrinterColumns"] = [{"name": n, "type": t, "jsonPath": p} for n, t, p in version.columns]
    if version.selectable:
        out["selectableFields"] = [{"jsonPath": path} for path in version.selectable]
    return out


PATH_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(:[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
AGE = ("Age", "date", ".metadata.creationTimestamp")


def string(**more: Any) -> Object:
    return {"type": "string", **_words(more)}


def boolean(**more: Any) -> Object:
    return {"type": "boolean", **_words(more)}


def integer(**more: Any) -> Object:
    return {"type": "integer", **_words(more)}


def structure(properties: Properties, *required: str, rules: tuple[Object, ...] = (), **more: Any) -> Object:
    """An object with known fields."""
    out: Object = {"type": "object", "properties": properties, **_words(more)}
    if required:
        out["required"] = list(required)
    if rules:
        out["x-kubernetes-validations"] = list(rules)
    return out


def mapping(values: Object, **more: Any) -> Object:
    """An object whose field names are free."""
    return {"type": "object", "additionalProperties": values, **_words(more)}


def array(items: Object, **more: Any) -> Object:
    return {"type": "array", "items": items, **_words(more)}


def keyed(items: Object, *keys: str, **more: Any) -> Object:
    """A list that is a map by these fields of its items."""
    return array(items, **more) | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def any_object(**more: Any) -> Object:
    """An object with any fields."""
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **_words(more)}


def rule(expression: str, message: str) -> Object:
    """A CEL validation."""
    return {"rule": expression, "message": message}


def _words(more: Mapping[str, Any]) -> Object:
    """Keyword arguments with OpenAPI's spelling: `min_length` → `minLength`."""
    out: Object = {}
    for key, value in more.items():
        first, *rest = key.split("_")
        out[first + "".join(word.capitalize() for word in rest)] = value
    return out


CONDITIONS = array(
    structure(
        {
            "lastTransitionTime": string(format="date-time"),
            "message": string(),
            "reason": string(),
            "severity": string(),
            "status": string(),
            "type": string(),
        },
        "lastTransitionTime",
        "status",
        "type",
    ),
    description="Current processing state (the conditions of the cluster API).",
)

LABEL_SELECTOR = structure(
    {
        "matchExpressions": array(
            structure(
                {
                    "key": string(),
                    "operator": string(),
                    "values": array(string()) | {"x-kubernetes-list-type": "atomic"},
                },
                "key",
                "operator",
            )
        )
        | {"x-kubernetes-list-type": "atomic"},
        "matchLabels": mapping(string()),
    }
) | {"x-kubernetes-map-type": "atomic"}

POLICY_RULES = array(
    structure(
        {
            field_name: array(string()) | {"x-kubernetes-list-type": "atomic"}
            for field_name in ("apiGroups", "nonResourceURLs", "resourceNames", "resources", "verbs")
        },
        "verbs",
    )
)
