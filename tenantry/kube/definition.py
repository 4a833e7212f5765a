"""Resource definitions: a type as data, for built-in and custom resources alike. Every verb, document and view works from it.

No verb checks the name of a type. Differences between types are fields here or methods of the type's `Strategy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tenantry.kube.conversion import WebhookConversion
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.objects import GroupResource, Object, group_version
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import FieldError

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A printer column of a Table (KEP-2896 of kubectl get): `cell` computes its value from an object.

    `type` is string, integer, number, boolean or date; `priority` above 0 shows only in wide output.
    """

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    cell: Callable[[Object, datetime], Any]
    reads: tuple[str, ...] = ()
    """What the cell is computed from: the names on the way to a field (`spec`, `replicas`). Empty where it may be anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """The JSON paths of a scale subresource, as in CRDs: `.spec.replicas`.

    `selector` is a built-in type's way to the text of its selector. Others have that text at `label_selector`.
    """

    spec_replicas: str
    status_replicas: str
    label_selector: str = ""
    selector: Callable[[Object], str] | None = None


ResetFields = tuple[tuple[str, ...], ...]
"""Paths of fields, each as the names on the way to it."""


class Strategy:
    """The special rules of a type. Methods are pure: no I/O, no other objects. This base class has no special rules.

    `subresource` is empty for the main resource, else `status`, `finalize`, …
    """

    create_on_update = False
    """A PUT to a missing name creates it (leases)."""
    unconditional_update = True
    """A PUT without resourceVersion is allowed (built-ins, but not custom resources)."""
    tracks_generation = False
    """metadata.generation starts at 1 and increases when anything except metadata and status changes."""
    starts_generation = True
    """A new object of a type that tracks it has a generation (drivers of volumes have one from their first change)."""
    changes_generation = True
    """It increases (that of priority classes stays)."""
    status_resets: tuple[tuple[str, ...], ...] = ()
    """Paths beyond the spec that /status ignores."""
    propagation = ""
    """What becomes of dependents if a deletion does not say it: `Orphan` for the oldest types, else nothing in particular."""
    marks_deleted = False
    """The last state of an object that was deleted at once says so (Pods)."""
    graceful = False
    bare_finalizers = False
    """Finalizers may lack a domain: the type's validation upstream is not that of the core group's metadata."""
    metadata_first = True
    """The type's own validation is about metadata too. Else the metadata of a new object is looked at where nothing else is wrong
    (disruption budgets, events)."""
    name_last = False
    """The error of a new object's name comes last, and its generateName is not looked at (replication controllers)."""
    prefix_on_update = ""
    """Whether an update validates generateName by the type's rule, and not only as part of a path: `before` the domains of
    finalizers, or `after` them."""
    returns_deleted = False
    """DELETE answers with the last state of the object and not with a Status (resource quotas, service accounts)."""

    write_only: Mapping[str, str] = {}
    """Fields that are never stored, whose entries become those of another field (`stringData` → `data`)."""

    reset_fields: Mapping[str, ResetFields] = {}
    """Subresource → the fields that its endpoint ignores, where these are not the status, and for `status` all but the status:
    who sends them does not own them (upstream's GetResetFields)."""

    may_take_long = False
    """`takes_long` is asked before an object is validated on the event loop."""

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        """Whether `validate` (and `findings`) takes so long for this object that it is called in a thread."""
        return False

    refuses = False
    """`findings` is asked about an object that is created."""

    def findings(self, obj: Object) -> list[FieldError]:
        """The errors of an object without errors of `validate`, for which an admission plugin of the type refuses to create
        it."""
        return []

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        """The errors of a name, or of a generateName where `prefix` is set. Here: RFC 1123 subdomain."""
        return dns1123_subdomain_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        """Fills in defaults beyond those of the schema, in the decoded object. The writer owns these fields."""

    def prepare_for_create(self, obj: Object) -> None:
        """Removes fields that a creator may not set (status) and sets derived fields. Changes `obj`."""

    notes_requester = False
    """`note_requester` is asked about an object that is created."""

    def note_requester(self, obj: Object, user: Mapping[str, Any]) -> None:
        """Writes down in a new object who creates it, an authentication.k8s.io/v1 UserInfo, where a type has that. Runs after
        `prepare_for_create`."""

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        """Restores fields that this endpoint may not change (status; or spec for /status). Changes `obj`."""

    def counts(self, obj: Object, old: Object) -> bool:
        """Whether a change of metadata increases the generation, where the type has one."""
        return False

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        """The errors beyond those of the schema. `old` is None on create."""
        return []

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return []

    def validate_delete(self, obj: Object) -> None:
        """Raises StatusError where the object may not be deleted."""

    def begin_deletion(self, obj: Object) -> None:
        """Marks a deleted object that stays until its finalizers are done (namespaces: phase Terminating). Changes `obj`."""

    def holds(self, obj: Object) -> bool:
        """Whether the type keeps a deleted object that has no metadata.finalizers (namespaces: spec.finalizers)."""
        return False


_SUBRESOURCE_VERBS = {"finalize": ("update",), "token": ("create",)}
_READ_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Version:
    """One version of a type. Values are stored in the storage version's shape. `from_storage` and `to_storage` convert a decoded
    object: they change it in place or return a new one. They are None where only apiVersion differs."""

    name: str
    schema: Schema
    message: Any = None
    """The message table of a built-in type's version, by which JSON is read and written. None where the schema does that."""
    protobuf: Any = None
    """The message table by which protobuf is read and written (`tenantry.kube.codec.protobuf`): `message`, if nothing else is
    given. None where there is no protobuf: in custom types."""
    served: bool = True
    columns: tuple[Column, ...] = ()
    from_storage: Callable[[Object], Object] | None = None
    to_storage: Callable[[Object], Object] | None = None
    row_order: Callable[[Object], Any] | None = None
    """What the rows of a Table of a list are sorted by. None: by name, as the list itself."""
    deprecation_warning: str = ""
    subresources: frozenset[str] = frozenset()
    """Names of subresources: status, scale, finalize, token, …"""
    subresource_verbs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The verbs of subresources whose verbs differ from the usual ones (views have fewer, or none)."""
    scale: ScalePaths | None = None
    selectable: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    """Field selectors beyond metadata.name and metadata.namespace: `status.phase` → its value as text."""
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    """Values that other modules derive from this version once and share, by a key for each use. It does not grow with use."""

    def __post_init__(self) -> None:
        if self.protobuf is None:
            object.__setattr__(self, "protobuf", self.message)

    def verbs_of(self, subresource: str) -> tuple[str, ...]:
        """The verbs of one of `subresources`, in lexical order."""
        own = self.subresource_verbs.get(subresource)
        return own if own is not None else _SUBRESOURCE_VERBS.get(subresource, _READ_WRITE)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, kw_only=True)
class ResourceDefinition:
    """A type. Immutable, and shared by all logical clusters that have it.

    `custom` marks types from a CRD or an APIResourceSchema: no strategic merge, no protobuf, apiVersion and kind on list items.
    `stored` is False for types whose objects are not in the logical cluster: access reviews, and types with `virtual_storage`. A
    connector answers their `verbs`.
    `identity` is the hash of the export that owns the storage of a bound type; it is part of the storage key.
    """

    group: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    versions: Mapping[str, Version]
    storage_version: str
    upstream_storage_version: str = ""
    """The version in which Kubernetes stores the type, where that is another one: clients see a hash of it."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STANDARD_VERBS
    strategy: Strategy = field(default_factory=Strategy)
    custom: bool = False
    stored: bool = True
    identity: str = ""
    storage_group_resource: GroupResource | None = None
    """The type whose storage this type shares, if any (events.k8s.io events are stored as core events)."""
    terminating: bool = False
    """The definition is being deleted: creates are refused."""
    memory_bytes: int = 0
    """Approximate memory in bytes of a custom type; 0 for built-in types."""
    virtual_storage: tuple[str, str] | None = None
    """The APIExport (cluster id, name) that serves the objects of a bound type from elsewhere, for reading only (kcp's virtual
    storage). None for other types."""
    made_when_used: bool = False
    """Every logical cluster has the same objects of this type until it uses the type: they are created then."""
    listed: bool = True
    """Whether discovery lists it. Its group and version are listed without it too."""
    origin: ResourceDefinition | None = None
    """The definition that this one is a variant of. A variant keeps it alive."""
    crd: str = ""
    """The name of the CRD behind the type. Empty for other types. All clusters whose CRDs say the same share the definition."""
    uid: str = ""
    """The uid of the APIResourceSchema behind a type. Empty for other types."""
    provider: str = ""
    """The logical cluster of the export that a bound type is from. Empty for other types."""
    conversion: WebhookConversion | None = None
    """The webhook that converts objects between the versions of a custom type. None where only apiVersion differs, and for
    built-in types, which have `Version.from_storage`."""
    first_stored_version: str = ""
    """The version that stored values of a custom type are in which do not say it (`codec.stored.written_in`): the first of
    `status.storedVersions`. Empty: the storage version."""
    group_resource: GroupResource = field(init=False, repr=False)
    storage_key: str = field(init=False, repr=False)
    """The resource part of storage keys: `<group|core>/<resource>[:<identity>]`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group_resource", GroupResource(self.group, self.plural))
        group, resource = self.storage_group_resource or self.group_resource
        key = f"{group or 'core'}/{resource}"
        object.__setattr__(self, "storage_key", f"{key}:{self.identity}" if self.identity else key)

    def api_version(self, version: str) -> str:
        return group_version(self.group, version)
