"""A gateway's metrics beside those of its requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.placement.forwarding import Forwarding


class GatewayMetrics(Collector):
    """For a metrics registry. The callables are asked when the metrics are read."""

    def __init__(
        self,
        forwarding: Forwarding,
        *,
        connections: Callable[[], tuple[int, int, int]],
        cut: Callable[[], int],
        subscribers: Callable[[], int],
        version: Callable[[], int],
    ) -> None:
        """`connections`: to shards, (open, idle of these, made so far)."""
        self._forwarding = forwarding
        self._connections = connections
        self._cut = cut
        self._subscribers = subscribers
        self._version = version

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("tenantry_gateway_retries", "Attempts after a request's first.", self._forwarding.retries)
        yield CounterMetricFamily(
            "tenantry_gateway_unknown_outcomes",
            "Writes whose shard went away before it answered.",
            self._forwarding.unknown_outcomes,
        )
        yield CounterMetricFamily(
            "tenantry_gateway_cut_exchanges",
            "Requests and watches cut because their shard kept a range it had lost.",
            self._cut(),
        )
        connections, idle, made = self._connections()
        states = GaugeMetricFamily("tenantry_gateway_upstream_connections", "Connections to shards.", labels=("state",))
        states.add_metric(("idle",), idle)
        states.add_metric(("busy",), connections - idle)
        yield states
        yield CounterMetricFamily("tenantry_gateway_upstream_connections_opened", "Connections made to shards.", made)
        yield GaugeMetricFamily("tenantry_gateway_map_subscribers", "Clients that follow the map.", self._subscribers())
        yield GaugeMetricFamily(
            "tenantry_gateway_map_version", "The store's revision up to which the map is known.", self._version()
        )
