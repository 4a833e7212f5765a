"""What a server counts of its limits: how much is in use, how much there is, how much one caller has, and who was refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from tenantry.apiserver.edge.bodies import Bodies
from tenantry.apiserver.edge.connections import Connections
from tenantry.apiserver.edge.gate import Gate
from tenantry.shares import Shares


def figures(gate: Gate, bodies: Bodies, connections: Connections, watches: Shares) -> Callable[[], Iterator[Metric]]:
    """What is read when the metrics are."""

    def collect() -> Iterator[Metric]:
        yield from share_metrics(
            gate.reading.seats, gate.writing.seats, gate.queued, watches, bodies.receiving, bodies.memory, connections.open
        )
        unproven = GaugeMetricFamily(
            "tenantry_unauthenticated_connections", "Connections without credentials that were accepted."
        )
        unproven.add_metric((), len(connections.unproven))
        yield unproven
        cut = CounterMetricFamily(
            "tenantry_connections_closed", "Connections and requests that were given up, by reason.", labels=("reason",)
        )
        cut.add_metric(("evicted",), connections.evicted)
        cut.add_metric(("slow-head",), connections.slow)
        cut.add_metric(("slow-body",), bodies.slow)
        cut.add_metric(("queue-timeout",), gate.timed_out)
        yield cut

    return collect


def share_metrics(*limits: Shares) -> Iterator[Metric]:
    """Of limits that tenants share."""
    used = GaugeMetricFamily("tenantry_limit_used", "What is in use of a limit.", labels=("limit",))
    largest = GaugeMetricFamily(
        "tenantry_limit_largest_share", "What the tenant or user with the most has of it.", labels=("limit",)
    )
    total = GaugeMetricFamily("tenantry_limit", "The limit.", labels=("limit",))
    refused = CounterMetricFamily("tenantry_limit_refused", "How often there was no room.", labels=("limit",))
    for limit in limits:
        used.add_metric((limit.name,), limit.used)
        largest.add_metric((limit.name,), limit.largest)
        total.add_metric((limit.name,), limit.total)
        refused.add_metric((limit.name,), limit.refused)
    yield from (used, largest, total, refused)
