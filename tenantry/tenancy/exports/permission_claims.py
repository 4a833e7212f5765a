"""Permission claims: which objects of a consumer its provider may see (kcp).

Such objects have a label for each export, `claimed.internal.apis.kcp.io/<hash of the export>`. Admission sets the labels on
every write, so users cannot forge them. `claim_label_controller` updates existing objects when a binding changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import orjson

from tenantry.base.cache import Cache
from tenantry.kube.objects import GroupResource, Object, labels_of
from tenantry.kube.selectors import labels as label_selectors
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.placement.catalog import Catalog
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.hashing import CLAIM_LABEL_PREFIX, REFLEXIVE_VALUE, claim_hash, claim_label
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE, reference_of
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS

ACCEPTED = "Accepted"
_CLAIM_MARK = b'"permissionClaims":[{'


class AcceptedClaim(NamedTuple):
    """An accepted claim of an export: the label (`key`, `value`) of matching objects, and the accepted verbs."""

    key: str
    value: str
    selector: LabelSelector | None
    """None: all objects."""
    export: tuple[str, str]
    """(cluster id, name)"""
    verbs: frozenset[str]

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether it is about an object with these labels."""
        return self.selector is None or self.selector.matches(labels)


class _Claimed(NamedTuple):
    """An accepted claim, as the binding has it. `resource` is normalized. `value`: of the label, which tells the claims of an
    export apart."""

    resource: GroupResource
    value: str
    selector: LabelSelector | None
    verbs: frozenset[str]


class _Read(NamedTuple):
    """A decoded binding: the fields that name its export, and its accepted claims."""

    binding: Object
    claims: tuple[_Claimed, ...]


Table = Mapping[GroupResource, tuple[AcceptedClaim, ...]]
_NO_CLAIMS: Table = {}


def normalized(group: str, resource: str) -> GroupResource:
    """The resource of a claim. Events of both API groups count as the same resource (kcp)."""
    return GroupResource("", "events") if group == "events.k8s.io" and resource == "events" else GroupResource(group, resource)


def accepted_claims(binding: Object) -> list[dict[str, Any]]:
    """The accepted entries of `spec.permissionClaims`."""
    return [c for c in (binding.get("spec") or {}).get("permissionClaims") or () if c.get("state") == ACCEPTED]


def claim_selector(claim: Mapping[str, Any]) -> LabelSelector | None:
    """The selector of an accepted claim; None if it matches all objects. An invalid selector matches nothing: admission refuses
    it, but a stored one must not fail every write in the consumer's cluster."""
    selector = claim.get("selector") or {}
    if selector.get("matchAll"):
        return None
    try:
        return label_selectors.from_object(selector)
    except ValueError:
        return label_selectors.NOTHING


def bears_claims(record: Record | None) -> bool:
    """Whether a binding's record has any entry in `spec.permissionClaims`, without decoding it."""
    return record is not None and _CLAIM_MARK in record.value


class Claims:
    """The accepted claims of logical clusters, computed on demand.

    For a cluster without claims, only the bytes of its bindings are searched, and nothing is kept. Tables are cached while the
    versions of the bindings are the same and no export changed.
    """

    def __init__(self, *, catalog: Catalog, exports: ExportLookup) -> None:
        self._catalog = catalog
        self._exports = exports
        self._generation = 0
        self._tables: Cache[str, tuple[tuple[int, ...], int, Table]] = Cache("accepted_claims", bytes_max=8 << 20)
        # Any change of an export invalidates all tables; decoded bindings stay valid until they change.
        self._read: Cache[tuple[Key, int], _Read] = Cache("claims_read", bytes_max=8 << 20, keeps_large=True)
        self._catalog.subscribe(API_EXPORTS, self._exports_changed)

    def of(self, range: Range, cluster: str) -> Table:
        """Normalized resource → accepted claims of a cluster."""
        bindings = range.list(API_BINDINGS, cluster)
        for record in bindings:
            if _CLAIM_MARK in record.value:
                break
        else:
            return _NO_CLAIMS
        bearing = [record for record in bindings if _CLAIM_MARK in record.value]
        state = tuple(record.version for record in bearing)
        known = self._tables.get(cluster)
        if known is not None and known[0] == state and known[1] == self._generation:
            return known[2]
        table = self._compile(cluster, bearing)
        self._tables.put(cluster, (state, self._generation, table))
        return table

    def shares(
        self, range: Range, cluster: str, provider: str, resource: GroupResource, verb: str, labels: Mapping[str, str]
    ) -> bool:
        """Whether a cluster has accepted that a provider (a cluster with exports that it has bound) does `verb` to an object of
        the resource with these labels. Only verbs that both sides name count, literally, as in the view of an export."""
        return any(
            claim.export[0] == provider
            and claim.covers(labels)
            and not claim.verbs.isdisjoint((verb, "*"))
            and not self._claimed_verbs(claim, resource).isdisjoint(claim.verbs & {verb, "*"})
            for claim in self.of(range, cluster).get(normalized(*resource), ())
        )

    def _claimed_verbs(self, accepted: AcceptedClaim, resource: GroupResource) -> frozenset[str]:
        """The verbs of the claim that was accepted, by the export as it is now."""
        export = self._exports.get(*accepted.export) or {}
        for claim in (export.get("spec") or {}).get("permissionClaims") or ():
            if _place_of(claim) == normalized(*resource) and _value_of(claim) == accepted.value:
                return frozenset(claim.get("verbs") or ())
        return frozenset()

    def expected_labels(self, cluster: str, resource: GroupResource, obj: Object, table: Table) -> dict[str, str]:
        """All claim labels that an object of the (not normalized) resource must have. `table`: the claims of its cluster
        (`of`)."""
        expected: dict[str, str] = {}
        if table:
            expected = matching(table, resource, labels_of(obj))
        if resource == BINDING_RESOURCE:
            self._add_reflexive(cluster, obj, expected)
        return expected

    def _add_reflexive(self, cluster: str, binding: Object, expected: dict[str, str]) -> None:
        path, name = reference_of(binding)
        home = (binding.get("status") or {}).get("apiExportClusterName") or self._exports.resolve_cluster(cluster, path)
        if home:
            expected.setdefault(claim_label(home, name), REFLEXIVE_VALUE)

    def _compile(self, cluster: str, bindings: Iterable[Record]) -> Table:
        table: dict[GroupResource, list[AcceptedClaim]] = {}
        for record in bindings:
            binding, claims = self._read.compute((record.key, record.version), partial(_read, record))
            export = self._exports.bound_by(cluster, binding) if claims else None
            if export is None:
                continue
            key = claim_label(export.cluster, export.name)
            place = export.cluster, export.name
            for resource, value, selector, verbs in claims:
                table.setdefault(resource, []).append(AcceptedClaim(key, value, selector, place, verbs))
        return {place: tuple(claims) for place, claims in table.items()}

    def _exports_changed(self, *_: object) -> None:
        self._generation += 1


def _read(record: Record) -> _Read:
    binding: Object = orjson.loads(record.value)
    home = (binding.get("status") or {}).get("apiExportClusterName")
    names = {"spec": {"reference": (binding.get("spec") or {}).get("reference")}, "status": {"apiExportClusterName": home}}
    return _Read(names, tuple(_claimed(claim) for claim in accepted_claims(binding)))


def _claimed(claim: Mapping[str, Any]) -> _Claimed:
    return _Claimed(_place_of(claim), _value_of(claim), claim_selector(claim), frozenset(claim.get("verbs") or ()))


def _place_of(claim: Mapping[str, Any]) -> GroupResource:
    return normalized(claim.get("group") or "", claim.get("resource") or "")


def _value_of(claim: Mapping[str, Any]) -> str:
    return claim_hash(claim.get("group") or "", claim.get("resource") or "", claim.get("identityHash") or "")


def matching(table: Table, resource: GroupResource, labels: Mapping[str, str]) -> dict[str, str]:
    """The claim labels of an object with these labels, by the accepted claims of its cluster."""
    return {claim.key: claim.value for claim in table.get(normalized(*resource), ()) if claim.covers(labels)}


def claim_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The claim labels among an object's labels."""
    return {k: v for k, v in labels.items() if k.startswith(CLAIM_LABEL_PREFIX)} if labels else {}
