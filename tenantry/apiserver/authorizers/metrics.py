"""The metrics of authorizers, with kube-apiserver's names. Labels are names of the operator's configuration alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.metrics import Histogram

_PREFIX = "apiserver_authorization"
_DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CONDITION_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)


class AuthorizerMetrics(Collector):
    def __init__(self) -> None:
        self._decisions: Counter[tuple[str, str, str]] = Counter()
        self._evaluations: dict[tuple[str, str], Histogram] = {}
        self._fail_open: Counter[tuple[str, str]] = Counter()
        self._conditions: dict[str, Histogram] = {}
        self._errors: Counter[str] = Counter()
        self._exclusions: Counter[str] = Counter()

    def decided(self, kind: str, name: str, decision: str) -> None:
        """Counts a decision: `allowed` or `denied`."""
        self._decisions[kind, name, decision] += 1

    def evaluated(self, name: str, result: str, seconds: float) -> None:
        """Counts a call of a webhook."""
        self._evaluations.setdefault((name, result), Histogram(_DURATION_BOUNDS)).observe(seconds)

    def failed_open(self, name: str, result: str) -> None:
        """Counts a webhook that was passed over because it did not answer."""
        self._fail_open[name, result] += 1

    def matched(self, name: str, seconds: float, *, failed: bool, excluded: bool) -> None:
        """Counts an evaluation of a webhook's match conditions."""
        self._conditions.setdefault(name, Histogram(_CONDITION_BOUNDS)).observe(seconds)
        self._errors[name] += failed
        self._exclusions[name] += excluded

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        decisions = CounterMetricFamily(f"{_PREFIX}_decisions", "Decisions by authorizer.", labels=("type", "name", "decision"))
        for labels, count in self._decisions.items():
            decisions.add_metric(labels, count)
        yield decisions
        evaluations = CounterMetricFamily(f"{_PREFIX}_webhook_evaluations", "Calls of webhooks.", labels=("name", "result"))
        durations = HistogramMetricFamily(f"{_PREFIX}_webhook_duration_seconds", "Their time.", labels=("name", "result"))
        for labels2, histogram in self._evaluations.items():
            evaluations.add_metric(labels2, sum(histogram.counts))
            durations.add_metric(labels2, histogram.buckets(), histogram.total)
        yield evaluations
        yield durations
        fail_open = CounterMetricFamily(
            f"{_PREFIX}_webhook_evaluations_fail_open", "Calls that failed, and had no opinion.", labels=("name", "result")
        )
        for labels2, count in self._fail_open.items():
            fail_open.add_metric(labels2, count)
        yield fail_open
        yield from self._of_conditions()

    def _of_conditions(self) -> Iterator[Metric]:
        labels = ("type", "name")
        seconds = HistogramMetricFamily(
            f"{_PREFIX}_match_condition_evaluation_seconds", "Time of a webhook's match conditions.", labels=labels
        )
        for name, histogram in self._conditions.items():
            seconds.add_metric(("Webhook", name), histogram.buckets(), histogram.total)
        yield seconds
        for stem, text, counts in (
            ("match_condition_evaluation_errors", "Match conditions that failed.", self._errors),
            ("match_condition_exclusions", "Questions that match conditions excluded.", self._exclusions),
        ):
            family = CounterMetricFamily(f"{_PREFIX}_{stem}", text, labels=labels)
            for name, count in counts.items():
                family.add_metric(("Webhook", name), count)
            yield family
