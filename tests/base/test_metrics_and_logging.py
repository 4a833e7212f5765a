"""Figures in Prometheus' text format, and logs as JSON lines."""

from __future__ import annotations

import io
import json
import logging

from tenantry.base.cache import Cache
from tenantry.base.logs import AccessLog, JsonFormatter
from tenantry.base.metrics import Histogram, Metrics


def test_metrics_text() -> None:
    metrics = Metrics()
    metrics.request("list", 200, 0.003)
    metrics.request("list", 200, 0.2)
    metrics.request("watch", 200, None)
    metrics.reading.requests = 2
    metrics.watches = 3
    metrics.store_commit(0.004, 7)
    metrics.gauge("tenantry_ranges", "Ranges owned.", lambda: 5)

    lines = metrics.text().decode().splitlines()

    assert 'apiserver_request_total{code="200",verb="list"} 2.0' in lines
    assert 'apiserver_request_total{code="200",verb="watch"} 1.0' in lines
    assert 'apiserver_request_duration_seconds_bucket{le="0.005",verb="list"} 1.0' in lines
    assert 'apiserver_request_duration_seconds_count{verb="list"} 2.0' in lines
    assert not any("duration" in line and 'verb="watch"' in line for line in lines)
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 2.0' in lines
    assert 'apiserver_longrunning_requests{verb="watch"} 3.0' in lines
    assert "tenantry_store_commit_duration_seconds_count 1.0" in lines
    assert "tenantry_store_changes_total 7.0" in lines
    assert "tenantry_ranges 5.0" in lines


def test_every_cache_of_the_process_is_shown_by_name() -> None:
    cache: Cache[str, bytes] = Cache("test_shown", bytes_max=80_000)
    cache.put("a", bytes(500))

    lines = Metrics().text().decode().splitlines()

    assert 'tenantry_cache_entries{cache="test_shown"} 1.0' in lines
    assert f'tenantry_cache_bytes{{cache="test_shown"}} {float(cache.bytes)}' in lines
    assert 'tenantry_cache_max_bytes{cache="test_shown"} 80000.0' in lines


def test_histogram_bounds_are_inclusive() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)

    assert histogram.buckets() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 12.0


def test_log_lines_are_json() -> None:
    record = logging.LogRecord("room", logging.WARNING, __file__, 1, "hello %s", ("you",), None)
    record.requestID = "r-1"

    entry = json.loads(JsonFormatter().format(record))

    assert entry.pop("time").endswith("Z")
    assert entry == {"level": "warning", "logger": "room", "message": "hello you", "requestID": "r-1"}


def write(log: AccessLog, path: str = "/") -> None:
    log.record(
        request_id="r", remote="", user="u", impersonator="boss", verb="get", method="GET", path=path, code=200, seconds=0.0012
    )


def test_access_log_drops_what_does_not_fit() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream, buffer_bytes=400)
    write(log)
    write(log, "x" * 1000)
    log.close()

    [line] = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["milliseconds"], entry["impersonator"], log.dropped) == (1.2, "boss", 1)


async def test_access_log_survives_a_closed_stream() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream)
    write(log)
    stream.close()
    log.close()
    assert log.dropped == 1
