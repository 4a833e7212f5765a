"""The metrics of all controllers of a process, labelled with a controller's name. Recording is an addition; the text is made when
it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.metrics import Histogram

DONE, RETRY, ERROR = "done", "retry", "error"
"""Outcomes of a reconciliation."""
_BOUNDS_SECONDS = (0.001, 0.01, 0.1, 1.0, 10.0)


class ControllerMetrics:
    """What one controller counts, over all of its workers."""

    __slots__ = ("outcomes", "overflows", "queue_depth", "seconds")

    def __init__(self) -> None:
        self.outcomes = {DONE: 0, RETRY: 0, ERROR: 0}
        self.seconds = Histogram(_BOUNDS_SECONDS)
        self.queue_depth = 0
        self.overflows = 0
        """Logical clusters that were listed again."""


class AllControllerMetrics(Collector):
    """By the name of the controller."""

    def __init__(self) -> None:
        self._by_name: dict[str, ControllerMetrics] = {}

    def of(self, name: str) -> ControllerMetrics:
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = ControllerMetrics()
        return found

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        reconciles = CounterMetricFamily("tenantry_reconciles", "Reconciliations by outcome.", labels=("controller", "outcome"))
        seconds = HistogramMetricFamily("tenantry_reconcile_seconds", "Time of one reconciliation.", labels=("controller",))
        depth = GaugeMetricFamily("tenantry_reconcile_queue_depth", "Keys that wait for a reconciler.", labels=("controller",))
        overflows = CounterMetricFamily(
            "tenantry_reconcile_overflows",
            "Logical clusters that were listed again, because keys of theirs found no room.",
            labels=("controller",),
        )
        for name, metrics in self._by_name.items():
            for outcome, count in metrics.outcomes.items():
                reconciles.add_metric((name, outcome), count)
            seconds.add_metric((name,), metrics.seconds.buckets(), metrics.seconds.total)
            depth.add_metric((name,), metrics.queue_depth)
            overflows.add_metric((name,), metrics.overflows)
        yield from (reconciles, depth, seconds, overflows)


controller_metrics = AllControllerMetrics()
"""Those of the process."""
REGISTRY.register(controller_metrics)
