"""The counts of a declared view: how many objects each consumer has."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator

from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.tenancy.exports.consumers import CONSUMERS
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, export_hash
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.resources import API_BINDINGS
from tenantry.virtual.declared.declaration import Count, Declaration
from tenantry.virtual.declared.declarations import Declarations, publication
from tenantry.virtual.declared.evaluation import Spending
from tenantry.virtual.declared.selected_visibility import SelectedVisibility

RECORDS_MAX = 200_000
"""The most objects of a range that the counts of a view look at. They are looked at again after each change of one."""
_PIECE = 64
"""So many labels are looked at between two rests."""
_NAMESPACE = uuid.UUID("8f0a3a52-5f0c-4b58-9d1e-2a3c1f6f7f11")


def counted(
    declarations: Declarations, declaration: Declaration, range_: Range, cluster: str | None, sources: Sources
) -> Iterator[ComputedRecord | None]:
    """One object for each consumer in the range (or in `cluster` alone) and each entry of `spec.counts`; None at places for a
    rest. Raises StatusError 413 for too many objects."""
    sources.records(CONSUMERS, range_.start)
    if not publication(declaration, range_).is_open:
        return
    consumers: dict[str, Record] = {}
    wanted = export_hash(declaration.domain.cluster, declaration.domain.name)
    for number, record in enumerate(sources.records(API_BINDINGS, cluster)):
        if record.head.labels.get(EXPORT_LABEL) == wanted:
            consumers.setdefault(record.key.cluster, record)
        if number % _PIECE == 0:
            yield None
    for count in declaration.counts.values():
        found: Counter[str] = Counter()
        yield from _count(declarations, declaration, count, range_, cluster, sources, found)
        for place, binding in consumers.items():
            yield _object(declaration, count, place, binding, found[place], sources.newest)


def _count(
    declarations: Declarations,
    declaration: Declaration,
    count: Count,
    range_: Range,
    cluster: str | None,
    sources: Sources,
    found: Counter[str],
) -> Iterator[None]:
    selected = count.selected
    accepted = declarations.accepted(declaration, range_, selected.source.group_resource, "list")
    costly = selected.filter is not None
    visible = SelectedVisibility(declarations, declaration, selected, range_, accepted, {}, Spending(None), in_slices=costly)
    records = sources.records(selected.source.storage_key, cluster)
    if len(records) > RECORDS_MAX:
        raise StatusError(
            413,
            "RequestEntityTooLarge",
            f"this view counts at most {RECORDS_MAX} objects of a range",
            details={},
        )
    step = 1 if costly else _PIECE
    for number, record in enumerate(records):
        if visible.sees(record):
            found[record.key.cluster] += 1
        if number % step == 0:
            yield None


def _object(declaration: Declaration, count: Count, cluster: str, binding: Record, number: int, revision: int) -> ComputedRecord:
    """The count of a consumer, as old as its binding."""
    definition = count.definition
    uid = uuid.uuid5(_NAMESPACE, f"{declaration.cluster}/{declaration.name}/{definition.storage_key}/{binding.head.uid}")
    metadata: Object = {
        "name": cluster,
        "uid": str(uid),
        "creationTimestamp": decoded(binding)["metadata"].get("creationTimestamp"),
        "annotations": {"kcp.io/cluster": cluster},
    }
    obj = {"metadata": metadata, "cluster": cluster, "count": number}
    return ComputedRecord.of_object(definition, obj, revision, cluster=cluster)
