"""Metrics of admission policies, with Kubernetes' names. Tenants name policies, so that names are no labels here: a process has a
fixed number of series."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.metrics import Histogram

_BOUNDS_SECONDS = (0.0000005, 0.001, 0.01, 0.1, 1.0)


class PolicyMetrics(Collector):
    """How often expressions were evaluated, and how long they took. `what`: the expressions that are counted."""

    def __init__(self, name: str, what: str, labels: tuple[str, ...]) -> None:
        self._name = name
        self._what = what
        self._labels = labels
        self._checks: dict[tuple[str, ...], Histogram] = {}

    def observe(self, values: tuple[str, ...], seconds: float) -> None:
        """`values`: those of the labels."""
        times = self._checks.get(values)
        if times is None:
            times = self._checks[values] = Histogram(_BOUNDS_SECONDS)
        times.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily(f"{self._name}_check", f"{self._what}.", labels=self._labels)
        seconds = HistogramMetricFamily(f"{self._name}_check_duration_seconds", f"{self._what}: seconds.", labels=self._labels)
        for values, times in self._checks.items():
            total.add_metric(values, sum(times.counts))
            seconds.add_metric(values, times.buckets(), times.total)
        yield total
        yield seconds


def error_type(message: str) -> str:
    """The value of the label error_type, for the message of an expression that failed."""
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"


VALIDATING = PolicyMetrics(
    "apiserver_validating_admission_policy",
    "Validations of admission policies that denied, warned, or failed",
    ("error_type", "enforcement_action"),
)
MUTATING = PolicyMetrics("apiserver_mutating_admission_policy", "Mutations of admission policies", ("error_type",))
for _each in (VALIDATING, MUTATING):
    REGISTRY.register(_each)
