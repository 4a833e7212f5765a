"""Stalls of the event loop: they are measured all the time, shown in `/metrics`, and logged with what ran."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.loop_turns import SHORTEST_SECONDS, What, turns_of_loop
from tenantry.base.metrics import Histogram

logger = logging.getLogger(__name__)

_WINDOW_SECONDS = 60
_LINES_APART_SECONDS = 1.0
"""The shortest time between two log lines about stalls."""
_BOUNDS_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Stalls(Collector):
    """The metrics of the loop's stalls. A stall is a turn of the loop of more than 5 ms. A request that arrived at its beginning
    waited for that long.

    `cpu_seconds`: the processor time that the loop's own thread used in the stall, so the time of the code on the loop. During
    the rest it waited for a processor, or for another thread to release the GIL.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.longest_seconds = 0.0
        self.longest_cpu_seconds = 0.0
        self._clock = clock
        self._histogram = Histogram(_BOUNDS_SECONDS)
        self._cpu_histogram = Histogram(_BOUNDS_SECONDS)
        self._recent: deque[tuple[int, float, float]] = deque()
        """Seconds with a stall: (second, longest stall, most processor time)."""

    def observe(self, seconds: float, cpu_seconds: float) -> None:
        """Counts a stall."""
        cpu_seconds = min(cpu_seconds, seconds)
        self._histogram.observe(seconds)
        self._cpu_histogram.observe(cpu_seconds)
        self.longest_seconds = max(self.longest_seconds, seconds)
        self.longest_cpu_seconds = max(self.longest_cpu_seconds, cpu_seconds)
        second = int(self._clock())
        if self._recent and self._recent[-1][0] == second:
            _, known, known_cpu = self._recent.pop()
            seconds, cpu_seconds = max(known, seconds), max(known_cpu, cpu_seconds)
        self._recent.append((second, seconds, cpu_seconds))
        self._forget(second)

    def of_the_last_minute(self) -> tuple[float, float]:
        """The longest stall and the most processor time of one stall in the last minute, in seconds."""
        self._forget(int(self._clock()))
        return (
            max((seconds for _, seconds, _ in self._recent), default=0.0),
            max((cpu for _, _, cpu in self._recent), default=0.0),
        )

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        minute, minute_cpu = self.of_the_last_minute()
        longest = GaugeMetricFamily(
            "tenantry_event_loop_longest_stall_seconds",
            "Longest stall of the event loop, since the start and in the last minute.",
            labels=("since",),
        )
        longest.add_metric(("start",), self.longest_seconds)
        longest.add_metric(("minute",), minute)
        yield longest
        cpu = GaugeMetricFamily(
            "tenantry_event_loop_longest_stall_cpu_seconds",
            "Most processor time of the loop's thread in one stall; the rest is waiting for a processor or another thread.",
            labels=("since",),
        )
        cpu.add_metric(("start",), self.longest_cpu_seconds)
        cpu.add_metric(("minute",), minute_cpu)
        yield cpu
        stalls = HistogramMetricFamily("tenantry_event_loop_stall_seconds", "Turns of the event loop of more than 5 ms.")
        stalls.add_metric((), self._histogram.buckets(), self._histogram.total)
        yield stalls
        cpu_of = HistogramMetricFamily("tenantry_event_loop_stall_cpu_seconds", "Processor time of the loop's thread in stalls.")
        cpu_of.add_metric((), self._cpu_histogram.buckets(), self._cpu_histogram.total)
        yield cpu_of

    def _forget(self, second: int) -> None:
        while self._recent and self._recent[0][0] <= second - _WINDOW_SECONDS:
            self._recent.popleft()


class Housekeeping(Protocol):
    """Work that is done between turns of the loop, when it is due."""

    def due(self) -> bool:
        """Whether there is something to do. It is called after each measured turn."""

    def run(self) -> None: ...


class LoopMonitor:
    """Monitors the turns of the running loop from `start` to `stop`.

    `warn_seconds`: stalls of at least this length are logged, with what took longest in them. `housekeeping`: it runs between
    turns (None: nothing does), and its time counts as a stall.
    """

    def __init__(self, stalls: Stalls, *, warn_seconds: float, housekeeping: Housekeeping | None = None) -> None:
        self._stalls = stalls
        self._warn_seconds = warn_seconds
        self._housekeeping = housekeeping
        self._logged = 0.0

    def start(self) -> None:
        """Starts monitoring. Call it on the event loop."""
        turns_of_loop.attach(self._ended)

    def stop(self) -> None:
        """Stops monitoring."""
        turns_of_loop.detach()

    def _ended(self, seconds: float, cpu_seconds: float, what: What) -> None:
        if seconds > SHORTEST_SECONDS:
            self._found(seconds, cpu_seconds, what)
        if self._housekeeping is not None and self._housekeeping.due():
            began, began_cpu = time.perf_counter(), time.thread_time()
            self._housekeeping.run()
            took = time.perf_counter() - began
            if took > SHORTEST_SECONDS:
                self._stalls.observe(took, time.thread_time() - began_cpu)

    def _found(self, seconds: float, cpu_seconds: float, what: What) -> None:
        self._stalls.observe(seconds, cpu_seconds)
        now = time.monotonic()
        if seconds >= self._warn_seconds and now - self._logged >= _LINES_APART_SECONDS:
            self._logged = now
            logger.warning(
                "the event loop stalled",
                extra={
                    "seconds": round(seconds, 4),
                    "cpu_seconds": round(min(seconds, cpu_seconds), 4),
                    "longest": " ".join(what),
                },
            )
