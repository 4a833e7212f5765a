"""The metrics of a server, in Prometheus' text format. Recording is a few dict operations; the text is made on each request for
it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base import cache
from tenantry.base.share_metrics import share_metrics
from tenantry.base.shares import Shares

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """A histogram. prometheus_client's own compares every value with all bounds; this one uses a bisection."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = _LATENCY_BOUNDS_SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """The buckets as (upper bound, cumulative count), as the text format needs them."""
        out: list[tuple[str, float]] = []
        count = 0
        for bound, bucket in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            count += bucket
            out.append((bound, float(count)))
        return out


class InFlight:
    """How many requests of a kind are in flight."""

    __slots__ = ("requests",)

    def __init__(self) -> None:
        self.requests = 0


class Metrics(Collector):
    """The metrics of one server. The metrics of requests have kube-apiserver's names. `text` adds the metrics in
    prometheus_client's own registry: those of other packages and of the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        self.reading = InFlight()
        self.writing = InFlight()
        self.watches = 0
        self.rejected = 0
        self.shares: list[Shares] = []
        """The limits that tenants share."""
        self.collectors: list[Callable[[], Iterable[Metric]]] = []
        """Functions that return further metrics. They are called each time the text is made."""
        self._requests: dict[tuple[str, int], int] = {}
        self._latency: dict[str, Histogram] = {}
        self._commits = Histogram()
        self._commit_changes = 0
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def request(self, verb: str, code: int, seconds: float | None) -> None:
        """Counts a finished request. `verb`: the API verb, empty if the request was refused before it was known. `seconds`: None
        for a watch, whose length has no meaning."""
        key = (verb, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        if seconds is None:
            return
        histogram = self._latency.get(verb)
        if histogram is None:
            histogram = self._latency[verb] = Histogram()
        histogram.observe(seconds)

    def store_commit(self, seconds: float, changes: int) -> None:
        """Counts a transaction of the store with `changes` writes."""
        self._commits.observe(seconds)
        self._commit_changes += changes

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Adds a gauge. `value` is called each time the text is made. `text`: its help."""
        self._gauges[name] = (text, value)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry) + generate_latest(REGISTRY)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("apiserver_request", "Requests by verb and HTTP code.", labels=("verb", "code"))
        for (verb, code), count in self._requests.items():
            requests.add_metric((verb, str(code)), count)
        yield requests
        latency = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "Time to answer a request, watches excluded.", labels=("verb",)
        )
        for verb, histogram in self._latency.items():
            latency.add_metric((verb,), histogram.buckets(), histogram.total)
        yield latency
        in_flight = GaugeMetricFamily("apiserver_current_inflight_requests", "Requests in flight.", labels=("request_kind",))
        in_flight.add_metric(("readOnly",), self.reading.requests)
        in_flight.add_metric(("mutating",), self.writing.requests)
        yield in_flight
        watches = GaugeMetricFamily("apiserver_longrunning_requests", "Open watches.", labels=("verb",))
        watches.add_metric(("watch",), self.watches)
        yield watches
        yield CounterMetricFamily(
            "apiserver_dropped_requests", "Requests refused because too many were in flight or waiting.", self.rejected
        )
        yield from share_metrics(self.shares)
        for collect in self.collectors:
            yield from collect()
        commits = HistogramMetricFamily(
            "tenantry_store_commit_duration_seconds", "Time of a transaction of the store, from sending it to its answer."
        )
        commits.add_metric((), self._commits.buckets(), self._commits.total)
        yield commits
        yield CounterMetricFamily("tenantry_store_changes", "Writes committed to the store.", self._commit_changes)
        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(name, text, value())


class Caches(Collector):
    """The metrics of all caches of the process. They do not belong to one server, because functions have caches too."""

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        entries = GaugeMetricFamily("tenantry_cache_entries", "Entries of a cache.", labels=("cache",))
        used = GaugeMetricFamily("tenantry_cache_bytes", "Memory that a cache uses, keys included.", labels=("cache",))
        most = GaugeMetricFamily("tenantry_cache_max_bytes", "Memory that a cache may use.", labels=("cache",))
        for name, size in cache.sizes():
            entries.add_metric((name,), size.entries)
            used.add_metric((name,), size.bytes)
            most.add_metric((name,), size.bytes_max)
        yield from (entries, used, most)


REGISTRY.register(Caches())
