"""The metrics of all controllers, labelled with a controller's name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("tenantry_reconciles", "Reconciliations by outcome.", ("controller", "outcome"))
QUEUE_DEPTH = Gauge("tenantry_reconcile_queue_depth", "Keys that wait for a reconciler.", ("controller",))
RECONCILE_SECONDS = Histogram(
    "tenantry_reconcile_seconds", "Time of one reconciliation.", ("controller",), buckets=(0.001, 0.01, 0.1, 1, 10)
)
OVERFLOWS = Counter(
    "tenantry_reconcile_overflows",
    "Logical clusters that were listed again, because keys of theirs found no room.",
    ("controller",),
)
