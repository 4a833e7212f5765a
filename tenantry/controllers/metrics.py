"""The metrics of all controllers of a process, with the controller's name as label. Recording only adds numbers; the text is made
when the metrics are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.metrics import Histogram

DONE, RETRY, ERROR = "done", "retry", "error"
"""The outcomes of a reconciliation."""
_BOUNDS_SECONDS = (0.001, 0.01, 0.1, 1.0, 10.0)


class ControllerMetrics:
    """The numbers of one controller, for all of its workers."""

    __slots__ = ("outcomes", "overflows", "queue_depth", "seconds")

    def __init__(self) -> None:
        self.outcomes = {DONE: 0, RETRY: 0, ERROR: 0}
        self.seconds = Histogram(_BOUNDS_SECONDS)
        self.queue_depth = 0
        self.overflows = 0
        """Number of logical clusters that were listed again."""


class AllControllerMetrics(Collector):
    """A Prometheus collector of the metrics of all controllers, by name."""

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
        reconciles = CounterMetricFamily(
            "tenantry_reconciles", "Number of reconciliations by outcome.", labels=("controller", "outcome")
        )
        seconds = HistogramMetricFamily(
            "tenantry_reconcile_seconds", "Duration of a reconciliation in seconds.", labels=("controller",)
        )
        depth = GaugeMetricFamily(
            "tenantry_reconcile_queue_depth", "Number of keys that wait in the work queue.", labels=("controller",)
        )
        overflows = CounterMetricFamily(
            "tenantry_reconcile_overflows",
            "Number of logical clusters that were listed again because the work queue dropped keys of them.",
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
"""The metrics of this process."""
REGISTRY.register(controller_metrics)
