"""Metrics of conversion webhooks, with kube-apiserver's names."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from tenantry.base.metrics import Histogram

NAMES_MAX = 100
OTHERS = "others"
_CALL_BOUNDS_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
_OBJECT_BOUNDS_SECONDS = tuple(0.001 * 2**power for power in range(15))


class ConversionMetrics:
    """The counters of one server. Tenants choose the names of types and versions, so only so many are told apart."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], Histogram] = {}
        self._objects: dict[tuple[str, str, str, str], Histogram] = {}

    def called(self, seconds: float, failure: str = "") -> None:
        """A call ended. `failure`: its type (`kube.conversion_review`); empty for a success."""
        key = ("failure" if failure else "success", failure)
        self._calls.setdefault(key, Histogram(_CALL_BOUNDS_SECONDS)).observe(seconds)

    def converted(self, name: str, source: str, target: str, seconds: float, *, succeeded: bool) -> None:
        """An object of a CustomResourceDefinition was converted from a version to another one, or was not."""
        key = (name, source, target, str(succeeded).lower())
        if key not in self._objects and len(self._objects) >= NAMES_MAX:
            key = (OTHERS, OTHERS, OTHERS, key[3])
        self._objects.setdefault(key, Histogram(_OBJECT_BOUNDS_SECONDS)).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        labels = ("result", "failure_type")
        text = "Time of calls of conversion webhooks."
        calls = HistogramMetricFamily("apiserver_conversion_webhook_duration_seconds", text, labels=labels)
        requests = CounterMetricFamily(
            "apiserver_conversion_webhook_request", "Calls of conversion webhooks, by how they ended.", labels=labels
        )
        for key, histogram in self._calls.items():
            calls.add_metric(key, histogram.buckets(), histogram.total)
            requests.add_metric(key, sum(histogram.counts))
        yield calls
        yield requests
        objects = HistogramMetricFamily(
            "apiserver_crd_conversion_webhook_duration_seconds",
            "Time in which conversion webhooks convert objects.",
            labels=("crd_name", "from_version", "to_version", "succeeded"),
        )
        for name, histogram in self._objects.items():
            objects.add_metric(name, histogram.buckets(), histogram.total)
        yield objects
