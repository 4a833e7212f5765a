"""Metrics of the limits that tenants share: what is in use, what there is, what one owner has, how often one was refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from tenantry.base.shares import Shares


def share_metrics(limits: Iterable[Shares]) -> Iterator[Metric]:
    """Several limits of one name, as shards in one process have them, are one line: their sum, and the largest share of any."""
    used = GaugeMetricFamily("tenantry_limit_used", "What is in use of a limit.", labels=("limit",))
    largest = GaugeMetricFamily(
        "tenantry_limit_largest_share", "What the tenant or user with the most has of it.", labels=("limit",)
    )
    total = GaugeMetricFamily("tenantry_limit", "The limit.", labels=("limit",))
    refused = CounterMetricFamily("tenantry_limit_refused", "How often there was no room.", labels=("limit",))
    by_name: dict[str, list[Shares]] = {}
    for limit in limits:
        by_name.setdefault(limit.name, []).append(limit)
    for name, group in by_name.items():
        used.add_metric((name,), sum(limit.used for limit in group))
        largest.add_metric((name,), max(limit.largest for limit in group))
        total.add_metric((name,), sum(limit.total for limit in group))
        refused.add_metric((name,), sum(limit.refused for limit in group))
    yield from (used, largest, total, refused)
