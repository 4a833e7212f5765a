"""Which permission claims of an export its consumers accepted, and for which verbs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from tenantry.apiserver.visibility import Visibility
from tenantry.kube.objects import GroupResource, Object
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, export_hash
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.permission_claims import accepted_claims, normalized
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE, binding_to, bindings_of, decoded
from tenantry.tenancy.resources import API_BINDINGS
from tenantry.virtual.apiexport.domain import Domain, Domains


def accepted_claim(domain: Domain, binding: Object, resource: GroupResource) -> dict[str, Any] | None:
    """The entry of `spec.permissionClaims` of a binding that accepts the export's claim on a resource; None if none does."""
    claimed = domain.claims.get(resource)
    if claimed is None:
        return None
    wanted = _identity(claimed)
    for claim in accepted_claims(binding):
        if _identity(claim) == wanted:
            return claim
    return None


def accepts(domain: Domain, binding: Object, resource: GroupResource, verb: str) -> bool:
    """Whether a binding allows the provider to do `verb` to objects of a claimed resource.

    Only verbs in the lists of both sides count, and they are compared literally: `*` in one and `get` in the other do not match
    (kcp).
    """
    claim = accepted_claim(domain, binding, resource)
    if claim is None:
        return False
    verbs = set(claim.get("verbs") or ()) & set(domain.claims[resource].get("verbs") or ())
    return verb in verbs or "*" in verbs


def _identity(claim: Mapping[str, Any]) -> tuple[GroupResource, str]:
    return normalized(claim.get("group") or "", claim.get("resource") or ""), claim.get("identityHash") or ""


class AcceptedVisibility:
    """The visible objects of a claimed resource, for one verb: objects with the claim label, of consumers that accepted the verb.

    The answer is kept for each logical cluster, because it is asked for every object. Subscribers are called when it changes. It
    is the same for every user.
    """

    adds = True
    in_slices = False

    def __init__(
        self, domains: Domains, export: ExportKey, range_: Range, resource: GroupResource, verb: str, shared: Visibility
    ) -> None:
        """`export`: cluster id and name of the export. `shared`: the visibility by the claim label."""
        self._domains = domains
        self._export = export
        self._range = range_
        self._resource = resource
        self._verb = verb
        self._shared = shared
        self._own = export_hash(*export) if resource == BINDING_RESOURCE else ""
        self._known: dict[str, bool] = {}

    @property
    def key(self) -> Hashable | None:
        return AcceptedVisibility, self._export, self._resource, self._verb, self._shared.key

    def sees(self, record: Record) -> bool:
        if not self._shared.sees(record):
            return False
        if self._own and record.head.labels.get(EXPORT_LABEL) == self._own:
            # A provider always sees the bindings to its own export.
            return True
        cluster = record.key.cluster
        known = self._known.get(cluster)
        if known is None:
            known = self._known[cluster] = self._accepts(cluster)
        return known

    def at(self, version: int) -> Visibility:
        """With the bindings as they were at that version, and the claims of the export as they are now."""
        events = self._range.events_after(version, API_BINDINGS)
        if not events:
            return self
        earlier = AcceptedVisibility(self._domains, self._export, self._range, self._resource, self._verb, self._shared)
        clusters = {event.key.cluster for event in events}
        bindings = {each: {record.key: record for record in self._range.list(API_BINDINGS, each)} for each in clusters}
        for event in reversed(events):
            if event.previous is None:
                bindings[event.key.cluster].pop(event.key, None)
            else:
                bindings[event.key.cluster][event.key] = event.previous
        for cluster, records in bindings.items():
            earlier._known[cluster] = self._accepted_in(map(decoded, sorted(records.values(), key=lambda record: record.key)))
        return earlier if any(known != self._accepts(cluster) for cluster, known in earlier._known.items()) else self

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        def bindings_changed(events: Sequence[RecordEvent]) -> None:
            clusters = {event.key.cluster for event in events}
            if self._renew([cluster for cluster in clusters if cluster in self._known]):
                changed()

        def export_changed() -> None:
            if self._renew(tuple(self._known)):
                changed()

        stops = (self._range.subscribe(bindings_changed, API_BINDINGS), self._domains.subscribe(*self._export, export_changed))

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def _renew(self, clusters: Collection[str]) -> bool:
        """Computes the answers for these clusters again. Returns whether any changed."""
        different = False
        for cluster in clusters:
            now = self._accepts(cluster)
            different |= now != self._known[cluster]
            self._known[cluster] = now
        return different

    def _accepts(self, cluster: str) -> bool:
        return self._accepted_in(bindings_of(self._range, cluster))

    def _accepted_in(self, bindings: Iterable[Object]) -> bool:
        domain = self._domains.of(*self._export)
        binding = binding_to(bindings, *self._export)
        return domain is not None and binding is not None and accepts(domain, binding, self._resource, self._verb)
