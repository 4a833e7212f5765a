"""Load in a closed loop: each of a number of clients sends its next request when the last one is answered."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.client import Client, Connection

Step = Callable[[Connection, int], Awaitable[None]]
"""(connection, number of the request): sends one request and checks the answer."""


@dataclass(frozen=True, slots=True)
class Result:
    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int


async def closed_loop(client: Client, clients: int, step: Step, *, requests: int) -> Result:
    """Sends `requests` requests in total over `clients` connections."""
    connections = [await client.connect() for _ in range(clients)]
    numbers = iter(range(requests))
    times: list[float] = []

    async def work(connection: Connection) -> None:
        for number in numbers:
            began = time.perf_counter()
            await step(connection, number)
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(work(c) for c in connections))
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    percentiles = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
    return Result(len(times) / seconds, percentiles[49] * 1000, percentiles[98] * 1000, len(times))
