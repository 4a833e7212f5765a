"""Metrics of the requests and connections that exceeded a server's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from tenantry.http.body_limits import Bodies
from tenantry.http.connections import Connections
from tenantry.http.gate import Gate
from tenantry.http.handshakes import Handshakes


def limit_metrics(
    gate: Gate, bodies: Bodies[Any], connections: Connections, handshakes: Handshakes
) -> Callable[[], Iterator[Metric]]:
    """A function for `Metrics.collectors` that returns these metrics."""

    def collect() -> Iterator[Metric]:
        unproven = GaugeMetricFamily(
            "tenantry_unauthenticated_connections", "Connections on which no credentials were accepted yet."
        )
        unproven.add_metric((), len(connections.unproven))
        yield unproven
        cut = CounterMetricFamily(
            "tenantry_connections_closed",
            "Connections that were closed and requests that were refused by the server, by reason.",
            labels=("reason",),
        )
        cut.add_metric(("evicted",), connections.evicted)
        cut.add_metric(("evicted-handshake",), handshakes.evicted)
        cut.add_metric(("slow-handshake",), handshakes.late)
        cut.add_metric(("slow-head",), connections.slow)
        cut.add_metric(("slow-body",), bodies.slow)
        cut.add_metric(("queue-timeout",), gate.timed_out)
        yield cut
        paced = CounterMetricFamily(
            "tenantry_paced_bodies_seconds", "Total time that large bodies waited until more of them was read."
        )
        paced.add_metric((), bodies.paced_seconds)
        yield paced
        waited = CounterMetricFamily(
            "tenantry_waiting_bodies_seconds",
            "Total time that large bodies waited until other requests of their tenant were answered.",
        )
        waited.add_metric((), bodies.waited_seconds)
        yield waited

    return collect
