"""Metrics of the limits that tenants share: the used amount, the limit, the largest share of one owner, and refusals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from tenantry.base.shares import Shares


def share_metrics(limits: Iterable[Shares]) -> Iterator[Metric]:
    """The metrics of all limits. Limits of one name, as of several shards in one process, are one line: their sum and the largest
    share."""
    used = GaugeMetricFamily("tenantry_limit_used", "How much of a limit is in use.", labels=("limit",))
    largest = GaugeMetricFamily(
        "tenantry_limit_largest_share", "How much the tenant or user with the largest share uses.", labels=("limit",)
    )
    total = GaugeMetricFamily(
        "tenantry_limit", "The limit itself: requests, connections or bytes, as its name says.", labels=("limit",)
    )
    refused = CounterMetricFamily(
        "tenantry_limit_refused", "Requests, connections or writes refused by the limit.", labels=("limit",)
    )
    by_name: dict[str, list[Shares]] = {}
    for limit in limits:
        by_name.setdefault(limit.name, []).append(limit)
    for name, group in by_name.items():
        used.add_metric((name,), sum(limit.used for limit in group))
        largest.add_metric((name,), max(limit.largest for limit in group))
        total.add_metric((name,), sum(limit.total for limit in group))
        refused.add_metric((name,), sum(limit.refused for limit in group))
    yield from (used, largest, total, refused)
