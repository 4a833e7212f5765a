"""Metrics of a gateway, in addition to those of its HTTP requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.placement.forwarding import Forwarding
from tenantry.placement.view_forwarding import ViewForwarding


class GatewayMetrics(Collector):
    """A Prometheus collector. The callables are called when the metrics are read."""

    def __init__(
        self,
        forwarding: Forwarding,
        views: ViewForwarding,
        *,
        connections: Callable[[], tuple[int, int, int]],
        cut: Callable[[], int],
        followers: Callable[[], int],
        version: Callable[[], int],
    ) -> None:
        """`connections`: returns (open, idle, opened so far) of the connections to shards. `cut`: returns the number of aborted
        exchanges. `followers`: returns the number of followers of the map. `version`: returns the version of the map."""
        self._forwarding = forwarding
        self._views = views
        self._connections = connections
        self._cut = cut
        self._followers = followers
        self._version = version

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "tenantry_gateway_retries", "Number of retries: attempts after the first one of a request.", self._forwarding.retries
        )
        yield CounterMetricFamily(
            "tenantry_gateway_unknown_outcomes",
            "Number of writes whose connection to the shard ended before the answer: they may have been executed.",
            self._forwarding.unknown_outcomes,
        )
        yield CounterMetricFamily(
            "tenantry_gateway_cut_exchanges",
            "Number of requests and watches aborted because their range has a new owner and the old one did not end them.",
            self._cut(),
        )
        yield CounterMetricFamily(
            "tenantry_gateway_view_failures",
            "Number of times that a process of views could not be reached, or did not answer in time.",
            self._views.failures,
        )
        yield CounterMetricFamily(
            "tenantry_gateway_view_refusals",
            "Number of requests for views that got 503 because no process answered.",
            self._views.refused,
        )
        connections, idle, made = self._connections()
        states = GaugeMetricFamily(
            "tenantry_gateway_upstream_connections", "Number of open connections to shards.", labels=("state",)
        )
        states.add_metric(("idle",), idle)
        states.add_metric(("busy",), connections - idle)
        yield states
        yield CounterMetricFamily(
            "tenantry_gateway_upstream_connections_opened", "Number of connections to shards opened so far.", made
        )
        yield GaugeMetricFamily("tenantry_gateway_map_subscribers", "Number of clients that follow the map.", self._followers())
        yield GaugeMetricFamily(
            "tenantry_gateway_map_version", "The revision of the store up to which the map is complete.", self._version()
        )
