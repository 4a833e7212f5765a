"""Measures how long methods of views keep the event loop, so that a slow view has a name in `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from time import perf_counter
from typing import TypeVar

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.metrics import Histogram

SAMPLED = 17
"""One of so many requests, and of so many objects that are shown, is measured. It is a prime, so that requests that follow each
other in a pattern all have their turn."""
_BOUNDS_SECONDS = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0)

_requests = count()
_shown = count()
T = TypeVar("T")


def is_request_sampled() -> bool:
    """Whether it is the turn of this request to be measured."""
    return next(_requests) % SAMPLED == 0


def is_shown_sampled() -> bool:
    """Whether it is the turn of this object to be measured while it is shown."""
    return next(_shown) % SAMPLED == 0


class MethodTimes(Collector):
    """A Prometheus collector of the times of methods, by view."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], Histogram] = {}

    def measured(self, view: str, method: str, function: Callable[[], T]) -> T:
        """Calls `function`, and counts its time as that of a method of a view."""
        began = perf_counter()
        try:
            return function()
        finally:
            took = perf_counter() - began
            times = self._times.get((view, method))
            if times is None:
                times = self._times[view, method] = Histogram(_BOUNDS_SECONDS)
            times.observe(took)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "tenantry_view_method_seconds",
            f"How long a method of a view kept the event loop. One call of {SAMPLED} is measured.",
            labels=["view", "method"],
        )
        for labels, times in sorted(self._times.items()):
            family.add_metric(labels, times.buckets(), times.total)
        yield family


method_times = MethodTimes()
"""The times of all views of the process."""
REGISTRY.register(method_times)
