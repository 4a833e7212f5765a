"""What the views of a SyncTarget have in common: who gets in, the types, and which objects are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.virtual.interface import (
    Attributes,
    Cache,
    Changed,
    Object,
    Place,
    Record,
    ResourceDefinition,
    StatusError,
    User,
    View,
    ViewContext,
)
from tenantry_syncer.names import GROUP, SYNC_TARGETS, Target
from tenantry_syncer.sync_target import RESOURCE

ALWAYS_SYNCED = (("", "configmaps"), ("", "secrets"), ("", "serviceaccounts"))
"""Types that every logical cluster has and every SyncTarget takes (kcp)."""
_TARGETS_BYTES_MAX = 1 << 20
"""A key is a hash, and each object of a list asks for it."""
_ACCEPTED_BYTES_MAX = 16 << 20
_SCHEMAS = "apis.kcp.io/apiresourceschemas"


class TargetView(View):
    """A view of the objects whose state label for a SyncTarget has the value `state`. Access: RBAC verb `sync` on the SyncTarget
    in its logical cluster."""

    arguments = ("cluster", "synctarget")
    interface = "1.0"
    state = ""
    always: tuple[tuple[str, str], ...] = ALWAYS_SYNCED
    """The types that are served whatever the SyncTarget says."""

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self._targets: Cache[tuple[str, str], Target] = Cache("sync_targets", bytes_max=_TARGETS_BYTES_MAX)
        self._accepted: Cache[tuple[str, str], tuple[Object, frozenset[str]]]
        self._accepted = Cache("accepted_clusters", bytes_max=_ACCEPTED_BYTES_MAX)

    def allows(self, place: Place, question: Attributes) -> bool:
        target = self.target(place)
        if self.copy(RESOURCE, target.cluster, target.name) is None:
            return False
        return self.may(question.user, "sync", target.cluster, group=GROUP, resource=SYNC_TARGETS, name=target.name)

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        target = self.target(place)
        copy = self.copy(RESOURCE, target.cluster, target.name)
        if copy is None:
            return []
        found = {(group, plural): self.definition(group, plural) for group, plural in self.always}
        for entry in copy["status"]["syncedResources"]:
            group, plural = entry.get("group") or "", entry["resource"]
            definition = self.exported(entry.get("identityHash") or "", group, plural)
            if definition is not None:
                found.setdefault((group, plural), definition)
        return found.values()

    def watch_apis(self, place: Place, changed: Callable[[], None]) -> Callable[[], None]:
        target = self.target(place)

        def target_changed(cluster: str, name: str, obj: Object | None) -> None:
            if (cluster, name) == (target.cluster, target.name):
                changed()

        def schema_changed(cluster: str, name: str, obj: Object | None) -> None:
            changed()

        ends = (self.watch_copies(RESOURCE, target_changed), self.watch_copies(_SCHEMAS, schema_changed))

        def end() -> None:
            for each in ends:
                each()

        return end

    def seeing(self, place: Place, user: User) -> Callable[[Record], bool]:
        target, state = self.target(place), self.state
        own, label = target.cluster, target.state_labels("")[0]
        named = target.state_labels(own)[1]

        def sees(record: Record) -> bool:
            labels = record.head.labels
            if labels.get(label) == state:
                return self.accepts(target, record.key.cluster)
            return record.key.cluster == own and labels.get(named) == state

        return sees

    def watch_sees(self, place: Place, user: User, changed: Changed) -> Callable[[], None]:
        target = self.target(place)

        def target_changed(cluster: str, name: str, obj: Object | None) -> None:
            if (cluster, name) == (target.cluster, target.name):
                changed()

        return self.watch_copies(RESOURCE, target_changed)

    def accepts(self, target: Target, cluster: str) -> bool:
        """Whether a SyncTarget takes objects of a logical cluster. Its own is always accepted; without a list, every one is."""
        name = (target.cluster, target.name)
        found = self.copy(RESOURCE, *name)
        if found is None:
            return False
        clusters = found["spec"].get("acceptedClusters")
        if clusters is None or cluster == target.cluster:
            return True
        known = self._accepted.get(name)
        if known is None or known[0] is not found:
            known = (found, frozenset(clusters))
            self._accepted.put(name, known)
        return cluster in known[1]

    def target(self, place: Place) -> Target:
        """The SyncTarget of the path, whose cluster may be written as a path or as an id."""
        path, name = place.arguments
        cluster = self.context.directory.cluster_of(path) or path
        found = self._targets.get((cluster, name))
        if found is None:
            found = Target(cluster, name)
            self._targets.put((cluster, name), found)
        return found


def refusal(obj: Object, field: str, text: str) -> StatusError:
    """422 with the field as its cause."""
    name = obj["metadata"].get("name") or ""
    cause = {"reason": "FieldValueForbidden", "message": text, "field": field}
    details = {"kind": obj.get("kind") or "", "name": name, "causes": [cause]}
    return StatusError(422, "Invalid", f'{obj.get("kind")} "{name}" is invalid: {text}', details=details)
