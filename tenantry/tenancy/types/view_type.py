"""`ViewType`, a type that the package of a view brings. Every logical cluster serves it while the package is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from tenantry.kube.custom import definition_from_api_resource_schema
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.tenancy.types.api_resource_schema_validation import validate_api_resource_schema


class RangeUrl(NamedTuple):
    """The URL of a place in a view, in one range. `range`: the name of the range."""

    range: str
    url: str


class ViewUrls:
    """The URLs of a view: one for each range, in the order of their names."""

    def __init__(self, view: str, ranges: Sequence[RangeUrl]) -> None:
        """`view`: its name. `ranges`: the base URL of each range."""
        self._view = view
        self._ranges = ranges

    def __call__(self, *arguments: str) -> list[RangeUrl]:
        """`<server>/ranges/<range>/services/<view>/<argument>/…` of each range."""
        path = "/".join(("services", self._view, *arguments))
        return [RangeUrl(name, f"{base}/{path}") for name, base in self._ranges]


Status = Callable[[Object, ViewUrls, datetime], tuple[Object, float | None]]
"""(object, URLs of the view, the time now in UTC) → (the status of the object, seconds after which it is to be computed again, or
None). A pure function: it may change the object that it gets, and it runs in a thread."""

ExportOf = Callable[[Object], tuple[str, str] | None]
"""The export (cluster id, name) that an object is about; None if it is about none."""

Copy = Callable[[Object], Object | None]
"""What of an object every shard has a copy of; None: nothing. It gets an object of its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewType:
    """A type that the package of a view brings.

    `spec`: that of an APIResourceSchema or CustomResourceDefinition, with group, names, scope and versions. `copied`: whether
    every shard has a copy of each object, or the part that is copied; the type must be cluster-scoped. RBAC of a logical cluster
    with such an object is copied too, so that every shard can decide about it.

    `status`: computes the status of an object. It is called when the object changes, when the ranges or their URLs change, and
    after the time that it returned. `export_of`: for a type that is about consumers of an export. The URLs are then those of the
    ranges that have consumers of it, and none if it returns None. Without it, they are those of all ranges.
    """

    spec: Object
    copied: bool | Copy = False
    status: Status | None = None
    export_of: ExportOf | None = None

    @property
    def group(self) -> str:
        return str(self.spec["group"])

    @property
    def plural(self) -> str:
        return str(self.spec["names"]["plural"])

    @property
    def resource(self) -> str:
        """Its name in storage keys and in the catalog."""
        return f"{self.group}/{self.plural}"

    def define(self) -> ResourceDefinition:
        """The definition. Raises ValueError if the spec is wrong."""
        try:
            spec = {**self.spec, "versions": [_plain_schema(version) for version in self.spec["versions"]]}
            if len(spec["versions"]) > 1:
                spec.setdefault("conversion", {"strategy": "None"})
            schema: Object = {"metadata": {"name": f"v1.{self.plural}.{self.group}"}, "spec": spec}
            errors = validate_api_resource_schema(schema)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"a type of a view has a spec of a wrong form: {error!r}") from error
        if errors:
            raise ValueError(f"the type {self.plural}.{self.group}: {'; '.join(f'{e.field}: {e.text}' for e in errors)}")
        made = definition_from_api_resource_schema(schema, identity="")
        if self.copied and made.namespaced:
            raise ValueError(
                f"the type {self.plural}.{self.group} has namespaces; only types without can be copied to all shards"
            )
        return replace(made, memory_bytes=0)


@dataclass(frozen=True, slots=True, eq=False)
class AddedType:
    """A type with the name of the view whose URLs its objects publish."""

    type: ViewType
    view: str
    definition: ResourceDefinition


def defined(types: Iterable[tuple[ViewType, str]], known: Iterable[ResourceDefinition]) -> tuple[AddedType, ...]:
    """The types of views, each with the name of its view. `known`: the types that are there without them, whose API groups are
    reserved.

    Raises ValueError for a type that is wrong or in a reserved group, and if two views have types of one name.
    """
    reserved = {definition.group for definition in known}
    found: dict[tuple[str, str], AddedType] = {}
    for view_type, view in types:
        definition = view_type.define()
        if definition.group in reserved:
            raise ValueError(
                f"the view {view} brings the type {definition.plural}.{definition.group}, but this API group is reserved"
            )
        for other in found.values():
            both = other.definition
            same_kind = (both.group, both.kind) == (definition.group, definition.kind)
            if same_kind or both.group_resource == definition.group_resource:
                raise ValueError(
                    f"two views bring the type {definition.plural}.{definition.group}: {other.view} and {view}; "
                    "uninstall one of their packages"
                )
        found[definition.group, definition.plural] = AddedType(view_type, view, definition)
    return tuple(found.values())


def _plain_schema(version: Object) -> Object:
    """The version as in an APIResourceSchema, where the schema is not below `openAPIV3Schema`."""
    schema = version.get("schema") or {}
    return {**version, "schema": schema.get("openAPIV3Schema", schema)}
