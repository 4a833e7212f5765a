"""The metrics of a process of views, beside those that every process has."""

from __future__ import annotations

from tenantry.base.metrics import Metrics
from views.wiring import ViewServer


def register_metrics(metrics: Metrics, server: ViewServer) -> None:
    metrics.gauge("tenantry_views_ranges", "Number of ranges in memory.", lambda: len(server.reader.ranges))
    metrics.gauge(
        "tenantry_views_objects", "Number of objects in memory.", lambda: sum(r.size for r in server.reader.ranges.values())
    )
