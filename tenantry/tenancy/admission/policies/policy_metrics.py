"""Metrics of validating admission policies, with Kubernetes' names. Tenants name policies, so that names are no labels here: a
process has a fixed number of series."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.metrics import Histogram

_BOUNDS_SECONDS = (0.0000005, 0.001, 0.01, 0.1, 1.0)
_NAME = "apiserver_validating_admission_policy"
_LABELS = ("error_type", "enforcement_action")


class PolicyMetrics(Collector):
    """Decisions other than plain admission, by the kind of error and by what followed."""

    def __init__(self) -> None:
        self._checks: dict[tuple[str, str], Histogram] = {}

    def observe(self, message: str, *, failed: bool, action: str, seconds: float) -> None:
        """`failed`: an expression failed with this message. `action`: allow, deny, audit or warn."""
        key = (_error_type(message), action) if failed else ("no_error", action)
        times = self._checks.get(key)
        if times is None:
            times = self._checks[key] = Histogram(_BOUNDS_SECONDS)
        times.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            f"{_NAME}_check", "Decisions of validating admission policies that denied, warned, or failed.", labels=_LABELS
        )
        seconds = HistogramMetricFamily(
            f"{_NAME}_check_duration_seconds", "How long the expression of such a decision took.", labels=_LABELS
        )
        for key, times in self._checks.items():
            total.add_metric(key, sum(times.counts))
            seconds.add_metric(key, times.buckets(), times.total)
        yield total
        yield seconds


def _error_type(message: str) -> str:
    if message.startswith("compilation"):
        return "compile_error"
    if message.startswith("validation failed due to running out of cost budget"):
        return "out_of_budget"
    return "invalid_error"


METRICS = PolicyMetrics()
REGISTRY.register(METRICS)
