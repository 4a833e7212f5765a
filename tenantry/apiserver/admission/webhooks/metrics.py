"""Metrics of webhook calls, with kube-apiserver's names.

Tenants choose the names of webhooks, so only so many names are told apart; others are counted together.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from tenantry.base.metrics import Histogram

NAMES_MAX = 100
OTHERS = "others"
_BOUNDS_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
_CODE_MAX = 600
_SERIES_MAX = 5_000
ADMIT, VALIDATING = "admit", "validating"
NO_ERROR, CALLING_ERROR, INTERNAL_ERROR = "no_error", "calling_webhook_error", "apiserver_internal_error"


class WebhookMetrics:
    """The counters of one server. `kind`: ADMIT for mutating webhooks, VALIDATING for the others."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._seconds: dict[tuple[str, str, str, str], Histogram] = {}
        self._requests: dict[tuple[str, str, str, str, str], int] = {}
        self._rejections: dict[tuple[str, str, str, str, str], int] = {}
        self._fail_open: dict[tuple[str, str], int] = {}

    def called(self, name: str, kind: str, operation: str, seconds: float, *, code: int, rejected: bool) -> None:
        name, text = self._name(name), "true" if rejected else "false"
        key = (name, kind, operation, text)
        histogram = self._seconds.get(key)
        if histogram is None:
            histogram = self._seconds[key] = Histogram(_BOUNDS_SECONDS)
        histogram.observe(seconds)
        _count(self._requests, (name, kind, operation, _code(code), text))

    def rejected(self, name: str, kind: str, operation: str, error: str, code: int) -> None:
        """`error`: NO_ERROR where the webhook denied the request."""
        _count(self._rejections, (self._name(name), kind, operation, error, _code(code)))

    def failed_open(self, name: str, kind: str) -> None:
        key = (self._name(name), kind)
        self._fail_open[key] = self._fail_open.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        prefix = "apiserver_admission_webhook_"
        labels = ("name", "type", "operation", "rejected")
        seconds = HistogramMetricFamily(
            prefix + "admission_duration_seconds", "Time of calls of admission webhooks.", labels=labels
        )
        for key, histogram in self._seconds.items():
            seconds.add_metric(key, histogram.buckets(), histogram.total)
        yield seconds
        requests = CounterMetricFamily(
            prefix + "request", "Calls of admission webhooks.", labels=("name", "type", "operation", "code", "rejected")
        )
        for called, count in self._requests.items():
            requests.add_metric(called, count)
        yield requests
        rejections = CounterMetricFamily(
            prefix + "rejection_count",
            "Requests that admission webhooks refused.",
            labels=("name", "type", "operation", "error_type", "rejection_code"),
        )
        for refused, count in self._rejections.items():
            rejections.add_metric(refused, count)
        yield rejections
        fail_open = CounterMetricFamily(
            prefix + "fail_open_count", "Failed calls that were ignored, as the webhook says.", labels=("name", "type")
        )
        for ignored, count in self._fail_open.items():
            fail_open.add_metric(ignored, count)
        yield fail_open

    def _name(self, name: str) -> str:
        if name in self._names:
            return name
        if len(self._names) >= NAMES_MAX:
            return OTHERS
        self._names.add(name)
        return name


def _code(code: int) -> str:
    """Codes above 600 are counted as 600, as upstream."""
    return str(min(code, _CODE_MAX))


def _count(counts: dict[tuple[str, str, str, str, str], int], key: tuple[str, str, str, str, str]) -> None:
    if key not in counts and len(counts) >= _SERIES_MAX:
        # Webhooks choose their codes.
        key = (OTHERS, key[1], key[2], key[3] if key[3] in (NO_ERROR, CALLING_ERROR, INTERNAL_ERROR) else "0", key[4])
        if key not in counts and len(counts) >= 2 * _SERIES_MAX:
            return
    counts[key] = counts.get(key, 0) + 1
