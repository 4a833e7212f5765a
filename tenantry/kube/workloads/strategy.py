"""The strategy of workload types. What differs between them is a `Rules` value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tenantry.kube.definition import Strategy
from tenantry.kube.go_decode import normaliser
from tenantry.kube.message_tables import Message
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.objects import Object, labels_of
from tenantry.kube.status import FieldError
from tenantry.kube.types.reset import keep
from tenantry.kube.workloads.default import fill_of
from tenantry.kube.workloads.gated import drop_of
from tenantry.kube.workloads.printing.cells import spec_of
from tenantry.kube.workloads.warnings.by_kind import warnings_of


class NameErrors(Protocol):
    def __call__(self, name: str, *, prefix: bool) -> list[str]: ...


def _nothing(obj: Object) -> None:
    return None


def _no_errors(obj: Object, old: Object | None) -> list[FieldError]:
    return []


def _unchanged(obj: Object, old: Object) -> None:
    return None


class Endpoint(NamedTuple):
    """The rules of a subresource: `prepare` restores what it may not change, in an object, given the stored one."""

    prepare: Callable[[Object, Object], None]
    errors: Callable[[Object, Object | None], list[FieldError]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of one type (pkg/registry and pkg/apis/…/validation in Kubernetes).

    `errors` and `status_errors`: those of an object and of its status, given the stored object (None on create).
    `on_create` and `on_update`: what the type changes in what it is sent, after the status is reset.
    """

    name_errors: NameErrors = dns1123_subdomain_errors
    errors: Callable[[Object, Object | None], list[FieldError]] = _no_errors
    status_errors: Callable[[Object, Object | None], list[FieldError]] = _no_errors
    on_create: Callable[[Object], None] = _nothing
    on_update: Callable[[Object, Object], None] = _unchanged
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    """Subresources beyond /status and /scale."""
    tracks_generation: bool = True
    keeps_status: bool = False
    """A creator may set the status (Nodes)."""
    keeps_labels: bool = False
    """/status changes no labels (Deployments)."""
    counted: str = ""
    """The map of the metadata whose changes increase the generation, too: annotations or labels."""
    starts_generation: bool = True
    changes_generation: bool = True
    bare_finalizers: bool = False
    metadata_first: bool = True
    name_last: bool = False
    prefix_on_update: str = ""
    """These are as in `Strategy`."""
    unconditional_update: bool = True
    create_on_update: bool = False
    returns_deleted: bool = False
    marks_deleted: bool = False
    propagation: str = ""
    on_status: Callable[[Object, Object], None] = _unchanged
    """What the type changes in a status that it is sent."""


class WorkloadStrategy(Strategy):
    """`message`: the table of the type."""

    def __init__(self, message: Message, rules: Rules) -> None:
        self._rules = rules
        self._kind = message.name
        self._fill = fill_of(message)
        self._drop = drop_of(message)
        statuses = [item.type.message for item in message.fields if item.name == "status"]
        self._status = statuses[0] if statuses else None
        self.tracks_generation = rules.tracks_generation
        self.starts_generation = rules.starts_generation
        self.changes_generation = rules.changes_generation
        self.unconditional_update = rules.unconditional_update
        self.create_on_update = rules.create_on_update
        self.returns_deleted = rules.returns_deleted
        self.marks_deleted = rules.marks_deleted
        self.propagation = rules.propagation
        self.status_resets = (("metadata", "labels"),) if rules.keeps_labels else ()
        self.bare_finalizers = rules.bare_finalizers
        self.metadata_first = rules.metadata_first
        self.name_last = rules.name_last
        self.prefix_on_update = rules.prefix_on_update

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return self._rules.name_errors(name, prefix=prefix)

    def default(self, obj: Object) -> None:
        if self._fill is not None:
            self._fill(obj)

    def prepare_for_create(self, obj: Object) -> None:
        if self._status is not None and not self._rules.keeps_status:
            obj["status"] = {}
            normaliser(self._status)(obj["status"])
        if self._drop is not None:
            self._drop(obj)
        self._rules.on_create(obj)
        self.default(obj)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        endpoint = self._rules.endpoints.get(subresource)
        if endpoint is not None:
            keep(obj, old, "status")
            endpoint.prepare(obj, old)
            return
        if subresource == "status":
            keep(obj, old, *({*obj, *old}.difference(("apiVersion", "kind", "metadata", "status"))))
            if self._rules.keeps_labels:
                _keep_labels(obj, old)
        elif self._status is not None:
            keep(obj, old, "status")
        if self._drop is not None:
            self._drop(obj)
        if subresource == "status":
            self._rules.on_status(obj, old)
        else:
            self._rules.on_update(obj, old)

    def counts(self, obj: Object, old: Object) -> bool:
        name = self._rules.counted
        return bool(name) and (obj["metadata"].get(name) or {}) != (old["metadata"].get(name) or {})

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return warnings_of(self._kind, obj, old)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        endpoint = self._rules.endpoints.get(subresource)
        if endpoint is not None:
            return endpoint.errors(obj, old)
        if subresource == "status":
            return self._rules.status_errors(obj, old)
        return self._rules.errors(obj, old)


class OtherVersion(NamedTuple):
    """A version of a type beside the stored one. `fill`: its defaults. The conversions return new objects."""

    fill: Callable[[Object], None]
    to_storage: Callable[[Object], Object]
    from_storage: Callable[[Object], Object]


class VersionedStrategy(WorkloadStrategy):
    """The strategy of a type whose versions have different fields. The rules are about objects in the stored version; those of
    other versions are converted for them and back, as upstream does with its internal types. `others`: by apiVersion."""

    def __init__(self, message: Message, rules: Rules, others: Mapping[str, OtherVersion]) -> None:
        super().__init__(message, rules)
        self._others = others

    def default(self, obj: Object) -> None:
        other = self._others.get(obj["apiVersion"])
        if other is None:
            super().default(obj)
            return
        other.fill(obj)
        _become(obj, other.from_storage(other.to_storage(obj)))

    def prepare_for_create(self, obj: Object) -> None:
        self._changed(obj, super().prepare_for_create)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        prepare = super().prepare_for_update
        self._changed(obj, lambda made: prepare(made, self._stored(old), subresource))

    def counts(self, obj: Object, old: Object) -> bool:
        return spec_of(self._stored(obj)) != spec_of(self._stored(old))

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return super().warnings(self._stored(obj), None if old is None else self._stored(old))

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        return super().validate(self._stored(obj), None if old is None else self._stored(old), subresource)

    def _stored(self, obj: Object) -> Object:
        other = self._others.get(obj["apiVersion"])
        return obj if other is None else other.to_storage(obj)

    def _changed(self, obj: Object, change: Callable[[Object], None]) -> None:
        other = self._others.get(obj["apiVersion"])
        if other is None:
            change(obj)
            return
        made = other.to_storage(obj)
        change(made)
        _become(obj, other.from_storage(made))


def _become(obj: Object, made: Object) -> None:
    """Makes an object another one. It keeps its metadata, of which a caller may have put a part aside."""
    metadata: Object = obj["metadata"]
    metadata.clear()
    metadata.update(made["metadata"])
    obj.clear()
    obj.update({**made, "metadata": metadata})


def _keep_labels(obj: Object, old: Object) -> None:
    labels = labels_of(old)
    if labels:
        obj["metadata"]["labels"] = labels
    else:
        obj["metadata"].pop("labels", None)
