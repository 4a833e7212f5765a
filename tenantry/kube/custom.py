"""Makes a ResourceDefinition from a CustomResourceDefinition or an APIResourceSchema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import orjson

from tenantry.kube.conversion import WebhookConversion, webhook_conversion
from tenantry.kube.crd_naming import accepted_names
from tenantry.kube.definition import ResourceDefinition, ScalePaths, Strategy, Version
from tenantry.kube.go_text import plain
from tenantry.kube.jsonpath import field_names
from tenantry.kube.message_tables import OBJECT_META
from tenantry.kube.names import dns1123_subdomain_errors, path_segment_errors
from tenantry.kube.objects import Object, cluster_of, group_version
from tenantry.kube.printer_columns import columns_of
from tenantry.kube.scale import scale_errors
from tenantry.kube.schema.default import default
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import FieldError
from tenantry.kube.version_order import by_priority

# The order in which kube-apiserver's discovery lists verbs of custom types.
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SERVED_METADATA = ("apiVersion", "kind", "metadata")


class CustomStrategy(Strategy):
    """The rules of custom resources: a separate status where the type declares it, generations, and updates only with a
    resourceVersion."""

    unconditional_update = False
    tracks_generation = True

    def __init__(
        self, *, status: frozenset[str], scales: Mapping[str, ScalePaths] | None = None, path_segment_names: bool = False
    ) -> None:
        """`status` are the versions that have the status subresource, `scales` the paths of those that have a scale.
        `path_segment_names` allows every name that is a valid URL path segment, as an APIResourceSchema with nameValidation
        PathSegmentName does."""
        self._status = status
        self._scales = scales
        self._path_segment_names = path_segment_names
        self._defaulted: dict[str, Schema] = {}

    def default_status(self, versions: Mapping[str, Version]) -> None:
        """From now on new objects have the default of their status, in versions whose schema has one. The creator of an
        object cannot set its status, so that no manager owns it."""
        for name in self._status:
            status = versions[name].schema.properties.get("status")
            if status is not None and status.has_default:
                self._defaulted[name] = Schema(type="object", properties={"status": status})

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        if self._path_segment_names:
            return path_segment_errors(name)
        return dns1123_subdomain_errors(name, prefix=prefix)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if not self._scales:
            return []
        paths = self._scales.get(_version_of(obj))
        return [*scale_errors(obj, paths, status_only=subresource == "status")] if paths is not None else []

    def _has_status(self, obj: Object) -> bool:
        return _version_of(obj) in self._status

    def prepare_for_create(self, obj: Object) -> None:
        version = _version_of(obj)
        if version in self._status:
            obj.pop("status", None)
        if version in self._defaulted:
            made: Object = {}
            default(made, self._defaulted[version])
            obj.update(made)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        if subresource == "status":
            status = obj.get("status")
            managed = obj.get("metadata", {}).get("managedFields")
            version = obj.get("metadata", {}).get("resourceVersion")
            keep = {key: value for key, value in old.items() if key not in ("status", "apiVersion", "kind")}
            for key in [k for k in obj if k not in ("apiVersion", "kind")]:
                del obj[key]
            obj.update(keep)
            obj["metadata"] = metadata = dict(keep.get("metadata") or {})
            if managed is not None:
                metadata["managedFields"] = managed
            if version is not None:
                metadata["resourceVersion"] = version
            if status is not None:
                obj["status"] = status
        elif self._has_status(obj):
            if "status" in old:
                obj["status"] = old["status"]
            else:
                obj.pop("status", None)


def _version_of(obj: Object) -> str:
    return str(obj.get("apiVersion", "")).rpartition("/")[2]


def definition_from_crd(crd: Object) -> ResourceDefinition:
    """The type that a valid CustomResourceDefinition defines. It has the accepted names (status), or the requested ones where the
    names have not been decided yet."""
    return definition_from_content(crd_content(crd))


def crd_content(crd: Object) -> bytes:
    """All of a CustomResourceDefinition that its type depends on, as one in JSON: its name, its spec with the names that it is
    served under, and the first version in which objects are stored. Equal for all that say the same, in any order of fields."""
    content = {
        "metadata": {"name": crd.get("metadata", {}).get("name", "")},
        "spec": {**crd["spec"], "names": accepted_names(crd)},
        "status": {"storedVersions": ((crd.get("status") or {}).get("storedVersions") or [])[:1]},
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def definition_from_content(content: bytes) -> ResourceDefinition:
    """The type with a `crd_content`. Nothing in it depends on anything else, so that clusters may share it."""
    crd: Object = orjson.loads(content)
    spec = crd["spec"]
    return _definition(
        spec,
        spec["names"],
        strategy=CustomStrategy(status=_with_status(spec), scales=_scales(spec)),
        crd=crd["metadata"]["name"],
        conversion=webhook_conversion(crd),
        first_stored_version=first_stored_version(crd),
    )


def first_stored_version(crd: Object) -> str:
    """The oldest version in which objects of the type may be stored. Empty where the status does not say it yet."""
    stored = (crd.get("status") or {}).get("storedVersions")
    return str(stored[0]) if stored else ""


def definition_from_api_resource_schema(schema_obj: Object, *, identity: str) -> ResourceDefinition:
    """The type that a valid APIResourceSchema (apis.kcp.io) defines. `identity` is the hash of the export that owns its
    storage."""
    spec = schema_obj["spec"]
    return _definition(
        spec,
        spec["names"],
        strategy=CustomStrategy(
            status=_with_status(spec), scales=_scales(spec), path_segment_names=spec.get("nameValidation") == "PathSegmentName"
        ),
        uid=schema_obj.get("metadata", {}).get("uid", ""),
        identity=identity,
        provider=cluster_of(schema_obj),
    )


def _with_status(spec: Object) -> frozenset[str]:
    return frozenset(v["name"] for v in spec["versions"] if (v.get("subresources") or {}).get("status") is not None)


def _scales(spec: Object) -> Mapping[str, ScalePaths]:
    return {version["name"]: paths for version in spec["versions"] if (paths := _scale(version)) is not None}


def _scale(version: Object) -> ScalePaths | None:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return None
    return ScalePaths(
        spec_replicas=scale["specReplicasPath"],
        status_replicas=scale["statusReplicasPath"],
        label_selector=scale.get("labelSelectorPath") or "",
    )


def _memory(spec: Object) -> int:
    """The approximate memory in bytes of a definition and everything derived from it. Measured: a number of bytes for each level
    of the schema (parsed, and compiled for pruning, defaults, validation and apply), for each item, and for its texts as often as
    they are kept (parsed, and in two OpenAPI documents)."""
    text = orjson.dumps(spec)
    return 2000 * text.count(b"{") + 200 * text.count(b",") + 4 * len(text)


def _definition(
    spec: Object,
    names: Object,
    *,
    strategy: CustomStrategy,
    crd: str = "",
    uid: str = "",
    identity: str = "",
    provider: str = "",
    conversion: WebhookConversion | None = None,
    first_stored_version: str = "",
) -> ResourceDefinition:
    group, kind = spec.get("group") or "", names["kind"]
    versions = sorted(spec["versions"], key=lambda v: by_priority(v["name"]))
    preferred = next((v["name"] for v in versions if v.get("served") and not v.get("deprecated")), "")
    made = {v["name"]: _version(v, group, kind, preferred) for v in versions}
    strategy.default_status(made)
    return ResourceDefinition(
        group=group,
        plural=names["plural"],
        singular=names.get("singular") or kind.lower(),
        kind=kind,
        list_kind=names.get("listKind") or f"{kind}List",
        namespaced=spec["scope"] == "Namespaced",
        versions=made,
        storage_version=next(v["name"] for v in versions if v.get("storage")),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        strategy=strategy,
        verbs=_VERBS,
        custom=True,
        identity=identity,
        crd=crd,
        uid=uid,
        provider=provider,
        conversion=conversion,
        first_stored_version=first_stored_version if first_stored_version in made else "",
        memory_bytes=_memory(spec),
    )


def _version(version: Object, group: str, kind: str, preferred: str) -> Version:
    subresources = version.get("subresources") or {}
    # In an APIResourceSchema the schema is the document itself; in a CRD it is below openAPIV3Schema.
    wrapper: Object = version.get("schema") or {}
    document: Object = wrapper.get("openAPIV3Schema", wrapper)
    schema = from_openapi(document)
    return Version(
        name=version["name"],
        schema=with_object_fields(schema, ref=openapi_name(group, version["name"], kind)),
        served=bool(version.get("served")),
        columns=columns_of(version.get("additionalPrinterColumns") or ()),
        deprecation_warning=_deprecation(version, group, kind, preferred),
        subresources=frozenset(name for name in ("status", "scale") if subresources.get(name) is not None),
        scale=_scale(version),
        selectable=_selectable(version.get("selectableFields") or ()),
    )


def _deprecation(version: Object, group: str, kind: str, preferred: str) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    text = f"{group_version(group, version['name'])} {kind} is deprecated"
    return f"{text}; use {group_version(group, preferred)} {kind}" if preferred else text


def _selectable(declared: Any) -> Mapping[str, Callable[[Object], str]]:
    return {path.removeprefix("."): _field_text(field_names(path)) for path in (f["jsonPath"] for f in declared)}


def _field_text(names: tuple[str, ...]) -> Callable[[Object], str]:
    def text(obj: Object) -> str:
        value: Any = obj
        for name in names:
            if type(value) is not dict:
                return ""
            value = value.get(name)
        return "" if value is None else plain(value)

    return text


def openapi_name(group: str, version: str, kind: str) -> str:
    """The name of a custom type's component in OpenAPI documents. It begins with the group's labels in reverse order."""
    return ".".join([*reversed(group.split(".")), version, kind]) if group else f"core.{version}.{kind}"


def with_object_fields(schema: Schema, *, ref: str = "") -> Schema:
    """The root schema of a custom type: the definition's schema, with apiVersion, kind and metadata as in every object. Its rules
    for metadata.name and generateName stay."""
    declared = {f.name: getattr(schema, f.name) for f in fields(Schema) if f.name not in ("compiled", "properties", "ref")}
    properties = {name: child for name, child in schema.properties.items() if name not in _SERVED_METADATA}
    plain_text = Schema(type="string")
    own = {name: schema.properties.get(name) or plain_text for name in ("apiVersion", "kind")}
    root = Schema(**declared, properties={**own, "metadata": _metadata(schema.properties.get("metadata")), **properties}, ref=ref)
    root.type = root.type or "object"
    return root


def _metadata(declared: Schema | None) -> Schema:
    shared = OBJECT_META.schema
    if declared is None or not declared.properties:
        return shared
    return Schema(type="object", properties={**shared.properties, **declared.properties})
