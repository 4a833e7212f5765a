"""Admission ResourceQuota: the transaction that creates an object also updates the quota's usage, so that the usage is exact.

So does one that changes what an object uses: a Service gets another type, a Pod ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from tenantry.apiserver.admission.dynamic import Ask, Reinvocation
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.apiserver.verbs.write import RecordChanged
from tenantry.apiserver.worker_threads import is_light, weigh, workers
from tenantry.kube.codec.stored import encode
from tenantry.kube.objects import Object
from tenantry.kube.quota import (
    ObjectUsage,
    charge,
    enforceable,
    exceeded,
    hard_of,
    lacking,
    unknown_usage,
    used_of,
    wanted_of,
)
from tenantry.kube.status import forbidden
from tenantry.kube.workloads.usage import is_evaluated
from tenantry.storage.record import Change, Record
from tenantry.tenancy.quotas import count, is_cluster_scoped, quotas_of
from tenantry.tenancy.resources import RESOURCE_QUOTAS

CHARGED_MAX = 100
"""As many quotas as a transaction has room for. Upstream updates one after another, and has no limit."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a thread has found out about a write. `outcome` holds while the quotas are these records, `usage` as long as the
    object is the same. A text is the reason why the write is refused."""

    records: Sequence[Record]
    usage: _Usage
    outcome: Sequence[Change] | str


class ResourceQuotaAdmission(Plugin):
    """Must run last: no later plugin may refuse a write that was charged.

    Large objects, and large or many quotas, are counted in a thread, which the write awaits (`validating`). When the write is
    charged, the quotas have to be those that were counted.
    """

    def is_in_effect(self, review: Review) -> bool:
        """Whether the cluster of a write has quotas."""
        return review.scope.cell.range_of(review.cluster).has_any(RESOURCE_QUOTAS, review.cluster)

    def mutating(self, review: Review, rounds: Reinvocation) -> Ask | None:
        return None

    def validating(self, review: Review) -> Ask | None:
        if not _is_counted(review):
            return None
        records = _quotas(review)
        if not records or is_light(_weight(review, records)):
            return None
        known = _count_known(review, records)

        async def counted(deadline: float) -> None:
            kept = tuple(records)
            review.counted = await workers.run(review.cluster, lambda: _counted(review, kept, known))

        return Ask(counted)

    def validate(self, review: Review) -> None:
        if not _is_counted(review):
            return
        records = _quotas(review)
        if not records:
            return
        counted: _Counted | None = review.counted
        if counted is not None and _same(counted.records, records):
            outcome = counted.outcome
        else:
            usage = None
            if counted is not None:
                # A busy namespace changes its quotas all the time, and what the object uses stays the same.
                usage = counted.usage
                if not is_light(_weight_of_all(records)) or not usage.covers(records):
                    raise RecordChanged
            outcome = _charges(review, records, usage or _Usage(review, records), _count_known(review, records))
        if isinstance(outcome, str):
            raise forbidden(review.definition.group_resource, review.name, outcome)
        review.changes += outcome


class _Usage:
    """What the new and the old object of a write use of some quotas."""

    def __init__(self, review: Review, records: Iterable[Record]) -> None:
        definition = review.definition
        resource, obj, old = definition.group_resource, review.object, review.old_object
        keys = _keys(records) if is_evaluated(resource) and not definition.custom else frozenset[str]()
        assert obj is not None
        self.new = ObjectUsage(resource, obj, keys)
        self.old = ObjectUsage(resource, old, keys) if review.operation == UPDATE and old is not None else None

    def covers(self, records: Iterable[Record]) -> bool:
        return self.new.covers(_keys(records))


def _is_counted(review: Review) -> bool:
    """Whether a write may change what is used."""
    definition = review.definition
    creates = review.operation == CREATE and not review.subresource
    changes = review.operation == UPDATE and not definition.custom and is_evaluated(definition.group_resource)
    return definition.stored and review.object is not None and (creates or changes)


def _quotas(review: Review) -> Sequence[Record]:
    range_ = review.scope.cell.range_of(review.cluster)
    return quotas_of(range_, review.cluster, review.definition, review.namespace, review.name)


def _weight(review: Review, records: Sequence[Record]) -> int:
    """How much work it is to count a write, in the unit of `weigh`. Types that are only counted are not looked at."""
    evaluated = is_evaluated(review.definition.group_resource) and not review.definition.custom
    return _weight_of_all(records, review.weight if evaluated else 0)


def _weight_of_all(records: Iterable[Record], weight: int = 0) -> int:
    """Stops where it is clear that they are not light."""
    for record in records:
        weight += weigh(record.value)
        if not is_light(weight):
            break
    return weight


def _same(left: Sequence[Record], right: Sequence[Record]) -> bool:
    return len(left) == len(right) and all(one is other for one, other in zip(left, right, strict=True))


def _keys(records: Iterable[Record]) -> frozenset[str]:
    return frozenset(key for record in records for key in hard_of(orjson.loads(record.value)))


def _count_known(review: Review, records: Sequence[Record]) -> str:
    """How many objects of the type are there already, for a quota that was counted before the type existed."""
    if not review.definition.custom:
        return "0"
    range_ = review.scope.cell.range_of(review.cluster)
    # The quotas that count cluster-scoped objects are those that are marked.
    return str(count(range_, records[0].key, review.definition, whole_cluster=True))


def _counted(review: Review, records: Sequence[Record], known: str) -> _Counted:
    usage = _Usage(review, records)
    return _Counted(records, usage, _charges(review, records, usage, known))


def _charges(review: Review, records: Iterable[Record], usage: _Usage, known: str) -> list[Change] | str:
    """The changes of the quotas, or why the write is refused. `known`: `_count_known`."""
    built_in = not review.definition.custom
    changes: list[Change] = []
    for record in records:
        quota: Object = orjson.loads(record.value)
        if not review.definition.namespaced and not is_cluster_scoped(quota):
            continue
        if usage.old is None and built_in and (refusal := lacking(quota, usage.new)):
            return refusal
        amounts = wanted_of(quota, usage.new, usage.old, built_in=built_in)
        if not amounts:
            continue
        if not enforceable(quota, amounts):
            if built_in:
                return unknown_usage(quota, amounts)
            quota["status"]["used"] = dict.fromkeys(amounts, known) | dict(used_of(quota))
        refusal = exceeded(quota, amounts)
        if refusal:
            return refusal
        if len(changes) == CHARGED_MAX:
            return f"more than {CHARGED_MAX} ResourceQuotas count it; delete some of them"
        quota["status"]["used"] = charge(quota, amounts)
        changes.append(Change(record.key, encode(quota), record.head, record))
    return [] if review.dry_run else changes
