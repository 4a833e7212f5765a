"""Four quiet tenants. Each reads and writes at a low, constant rate and records the latency of each answer."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from benchmarks.client import Client, Connection, must
from benchmarks.hostile.families import JSON, MERGE
from benchmarks.hostile.site import Site

EVERY_SECONDS = 0.02
OBJECTS = 20
_LOST = (ConnectionError, OSError, TimeoutError)


@dataclass(slots=True)
class Answers:
    """The answers. `seconds`: latency of each one. `failed`: number of failed ones by error text."""

    seconds: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)

    def percentile_ms(self, percent: int) -> float:
        return statistics.quantiles(self.seconds, n=100)[percent - 1] * 1000 if len(self.seconds) > 1 else float("nan")

    def note(self, what: str) -> None:
        self.failed[what] = self.failed.get(what, 0) + 1

    @property
    def server_errors(self) -> int:
        return sum(count for what, count in self.failed.items() if what.startswith("5"))


class QuietTenants:
    """Prepare it once, then call `measure` any number of times.

    The next request of a tenant begins a fixed time after the start of the previous one, or when that one is answered. So no late
    request is omitted.
    """

    def __init__(self, url: str, ca: str, sites: Sequence[Site]) -> None:
        self._url, self._ca, self._sites = url, ca, sites
        self._connections: list[Connection] = []
        self._turn = 0

    async def prepare(self) -> None:
        for site in self._sites:
            connection = await self._connect(site)
            for number in range(OBJECTS):
                body = orjson.dumps({"metadata": {"name": f"quiet-{number}"}, "data": {"text": "x" * 256}})
                must(await connection.request("POST", site.core("configmaps"), body, JSON), 201, 409)
            self._connections.append(connection)

    async def measure(self, seconds: float) -> Answers:
        answers = Answers()
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._tenant(number, end, answers) for number in range(len(self._sites))))
        return answers

    async def _tenant(self, number: int, end: float, answers: Answers) -> None:
        site = self._sites[number]
        path = site.core("configmaps")
        begin = time.monotonic() + EVERY_SECONDS * number / len(self._sites)
        while begin < end:
            await asyncio.sleep(max(0.0, begin - time.monotonic()))
            self._turn += 1
            name = f"{path}/quiet-{self._turn % OBJECTS}"
            began = time.monotonic()
            try:
                connection = self._connections[number]
                if self._turn % 10 == 0:
                    answer = await connection.request("GET", path)
                elif self._turn % 10 in (3, 6, 9):
                    answer = await connection.request("PATCH", name, b'{"data":{"turn":"%d"}}' % self._turn, MERGE)
                else:
                    answer = await connection.request("GET", name)
                if answer.status != 200:
                    answers.note(f"{answer.status} {answer.body[:80]!r}")
            except _LOST as error:
                answers.note(f"lost: {error!r}")
                self._connections[number].close()
                self._connections[number] = await self._connect(site)
            answers.seconds.append(time.monotonic() - began)
            begin = max(begin + EVERY_SECONDS, time.monotonic())

    async def _connect(self, site: Site) -> Connection:
        return await Client(self._url, site.token, self._ca).connect()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
