"""What admission gets to see of a write. The plugins are in `tenantry.tenancy`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenantry.apiserver.user import User, seen_by_provider, seen_in
from tenantry.apiserver.verbs.metadata import remove_cluster, set_cluster
from tenantry.kube.admission_matching import (
    AdmissionRequest,
    GroupVersionKind,
    equivalents_of,
    matched_as,
)
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.storage.record import Change

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"


class ObjectConverter(Protocol):
    """Converts objects of types whose versions a webhook converts."""

    async def object(
        self, obj: Object, definition: ResourceDefinition, target: str, /, *, owner: str, deadline: float | None = None
    ) -> Object:
        """The object in the version `target`. `owner`: the logical cluster. `deadline`: time of the event loop. Raises
        StatusError."""
        ...


class WrittenScope(Protocol):
    """The part of a scope that admission needs."""

    @property
    def cell(self) -> Cell: ...

    @property
    def range(self) -> Range: ...

    @property
    def converter(self) -> ObjectConverter: ...


class SubresourceForm(Protocol):
    """A subresource whose objects are of another kind than the object that is written (Scale)."""

    @property
    def kind(self) -> GroupVersionKind: ...

    def show(self, obj: Object, /) -> Object:
        """The object of the subresource for an object."""
        ...

    def take(self, obj: Object, changed: Object, /) -> None:
        """Writes what was changed in the object of the subresource into the object. Raises StatusError."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class Review:
    """One write that admission looks at. `object` is None on DELETE. It is in the shape of `version`; mutating admission changes
    it in place.

    `changes` are committed in the same transaction as the write (for example a quota's usage). Validating admission appends them.
    When a change's `expected` record is outdated, the whole write starts again.

    `withheld` is what mutating admission removed from the object: (field of metadata, key) → the value that was sent. Validating
    admission uses it to see what the write asked for. None until admission has looked.

    `claims` are the accepted permission claims of the logical cluster, which mutating admission reads for validating admission.
    No other code runs between the two: after a part in a thread, mutating admission runs once more right before. None until they
    are read.

    `findings` are those of the type (`Strategy.findings`) about an object that is created: errors that validating admission
    answers in its own way. They may come from a thread, and admission runs on the event loop.

    The rest is for dynamic admission (`dynamic.py`). `options`: those that the request gave. `named`: whether the request names
    the object; one that deletes a collection does not. `as_sent`: metadata that the server has filled in by now, with the values
    of the request (None: it had none), which is what mutating admission sees upstream. `version_sent`: the resourceVersion that
    an update has as a precondition. `audit_annotations`: what webhooks and policies want to see in the audit log. `weight`: that
    of the write, in the unit of `worker_threads.weigh`; work on a heavy one is done in a thread. `counted`: what a plugin that
    charges the write has found out in a thread, for itself.
    """

    operation: str
    scope: WrittenScope
    definition: ResourceDefinition
    version: Version
    cluster: str
    namespace: str
    name: str
    subresource: str
    user: User
    object: Object | None
    old_object: Object | None
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    withheld: Mapping[tuple[str, str], str | None] | None = None
    claims: Any = None
    findings: Sequence[FieldError] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    named: bool = True
    form: SubresourceForm | None = None
    as_sent: Mapping[str, Any] = field(default_factory=dict)
    old_version: str = ""
    version_sent: Any = None
    audit_annotations: dict[str, str] = field(default_factory=dict)
    weight: int = 0
    counted: Any = None

    @property
    def home(self) -> str:
        """The logical cluster whose webhooks and policies decide about the write: that of the provider for an object of a bound
        API (kcp)."""
        return self.definition.provider or self.cluster

    @property
    def user_info(self) -> Object:
        """The UserInfo that webhooks and policies see: the caller as `home` knows it."""
        home = self.home
        known = seen_in(self.user, home) if home == self.cluster else seen_by_provider(self.user, home)
        return known.to_user_info()

    @property
    def operation_options(self) -> Object:
        """The CreateOptions, UpdateOptions or DeleteOptions of the request, as dynamic admission sees them."""
        kind = f"{self.operation.capitalize()}Options"
        return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **self.options}

    @property
    def request(self) -> AdmissionRequest:
        """What rules of webhooks and policies are matched with."""
        definition, subresource = self.definition, self.subresource
        matched = matched_as(definition, self.version)
        group, _, resource = matched.resource
        if self.form is not None:
            matched = matched._replace(kind=self.form.kind)
        is_namespace = not group and resource == "namespaces"
        return AdmissionRequest(
            self.operation,
            matched,
            subresource,
            self.name if is_namespace else self.namespace,
            self.name if self.named else "",
            equivalents_of(definition, subresource),
        )

    def shown(self, *, names_cluster: bool = True) -> Object | None:
        """The object as dynamic admission sees it now, with containers that are the write's own: it is not to be changed.
        `names_cluster`: it has the annotation kcp.io/cluster."""
        obj = self.object
        if obj is None:
            return None
        metadata = {**obj["metadata"], "resourceVersion": self.version_sent, **self.as_sent}
        return self._shown(
            {**obj, "metadata": {name: value for name, value in metadata.items() if value is not None}}, names_cluster
        )

    def shown_old(self, *, names_cluster: bool = True) -> Object | None:
        """The old object as dynamic admission sees it, as `shown`."""
        old = self.old_object
        if old is None:
            return None
        return self._shown({**old, "metadata": {**old["metadata"], "resourceVersion": self.old_version}}, names_cluster)

    def _shown(self, shown: Object, names_cluster: bool) -> Object:
        if names_cluster:
            set_cluster(shown, self.cluster)
        else:
            remove_cluster(shown)
            if not shown["metadata"].get("annotations"):
                shown["metadata"].pop("annotations", None)
        return shown if self.form is None else self.form.show(shown)

    def take(self, changed: Object) -> None:
        """Replaces the object by what dynamic admission made of `shown()`. `changed` is the write's from now on."""
        obj = self.object
        assert obj is not None
        remove_cluster(changed)
        if self.form is not None:
            self.form.take(obj, changed)
            return
        metadata = changed["metadata"]
        for name, sent in self.as_sent.items():
            # What the webhook leaves as it was sent is what the server has made of it.
            if metadata.get(name) == sent and name in obj["metadata"]:
                metadata[name] = obj["metadata"][name]
        self.version_sent = metadata.pop("resourceVersion", None)
        obj.clear()
        obj.update(changed)


class Admission(Protocol):
    """Admission of writes. Both calls are synchronous and decide from memory, so that nothing happens between computing a write
    and submitting it.

    They may run several times for one request, when the object was changed meanwhile. They raise StatusError to refuse.
    """

    def mutate(self, review: Review) -> None: ...

    def validate(self, review: Review) -> None: ...
