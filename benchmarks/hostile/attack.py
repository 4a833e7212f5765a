"""The hostile tenant: a process that reads its requests from standard input and prints the answers.

It runs at the lowest priority, so that it takes no CPU time from the server, as if it were on another machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle

import orjson
import uvloop

from benchmarks.client import DEADLINE_SECONDS, Client, Connection, Failed
from benchmarks.hostile.evil_webhooks import EvilWebhooks
from benchmarks.hostile.families import ADMISSION, FAMILIES, Family, Request
from benchmarks.hostile.site import Site
from tenantry.base.tasks import awaited

CLIENTS = 8
HALF_SENT = 1700
READY = "ready"
_LOST = (ConnectionError, OSError, TimeoutError, Failed)
_PRIORITY = 19
_PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class Attack:
    """One family against one server. `answers`: status → number of answers; 0 stands for a lost connection."""

    url: str
    ca: str
    site: Site
    family: Family
    seconds: float
    answers: Counter[int]
    webhooks: EvilWebhooks = field(default_factory=EvilWebhooks)

    async def prepare(self) -> None:
        """Sends the preparing requests. Raises Failed if one is refused."""
        connection = await self._connect()
        prepared = [*self.family.prepare(self.site)]
        if self.family.driver == "webhooks":
            await self.webhooks.start()
            body = orjson.dumps(self.webhooks.configuration(self.site))
            prepared.append(Request("POST", self.site.group(ADMISSION, "validatingwebhookconfigurations"), body))
        for request in prepared:
            for _ in range(100):
                answer = await connection.request(request.method, request.path, request.body, request.headers)
                # A type is served a moment after its definition was created.
                if answer.status not in (404, 429):
                    break
                await asyncio.sleep(_PAUSE_SECONDS)
            if answer.status not in (200, 201, 409):
                raise Failed(f"cannot prepare: {request.method} {request.path}: {answer.status} {answer.body[:500]!r}")
        connection.close()

    async def run(self) -> None:
        end = time.monotonic() + self.seconds
        if self.family.driver == "half-sent":
            await self._half_sent(end)
            return
        drive = self._watches if self.family.driver == "watches" else self._requests
        await asyncio.gather(*(drive(end, number) for number in range(CLIENTS)))

    async def _requests(self, end: float, client: int) -> None:
        """Sends one request after the other, also after an error: it ignores Retry-After."""
        made: Sequence[Request] = self.family.requests(self.site)
        anonymous = made[0].anonymous
        connection = await self._again(end, "" if anonymous else self.site.token)
        number = client * 10_000_000
        # A create and its delete have the same number.
        for turn in cycle(range(len(made))):
            if time.monotonic() > end:
                break
            number += turn == 0
            request = made[turn].numbered(number)
            try:
                answer = await connection.request(request.method, request.path, request.body, request.headers)
                self.answers[answer.status] += 1
            except _LOST:
                self.answers[0] += 1
                connection.close()
                connection = await self._again(end, "" if anonymous else self.site.token)
        connection.close()

    async def _watches(self, end: float, client: int) -> None:
        path = f"{self.site.core('configmaps')}?watch=true"
        while time.monotonic() < end:
            try:
                connection = await self._connect()
                await connection.watch(path, lambda count: None)
                self.answers[200] += 1
                connection.close()
            except Failed as refused:
                self.answers[429 if " 429:" in str(refused) else 400] += 1
            except _LOST:
                self.answers[0] += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _half_sent(self, end: float) -> None:
        client = Client(self.url, "", self.ca)
        path = f"{self.site.prefix}/api/v1/namespaces"
        held: set[asyncio.Task[None]] = set()

        async def half() -> None:
            with suppress(*_LOST):
                connection = await client.connect(Connection)
                self.answers[await connection.half(path, end - time.monotonic())] += 1
                connection.close()

        while time.monotonic() < end:
            while len(held) < HALF_SENT and time.monotonic() < end:
                task = awaited(half(), name="half a request")
                held.add(task)
                task.add_done_callback(held.discard)
                await asyncio.sleep(0.001)
            await asyncio.sleep(_PAUSE_SECONDS)
        await asyncio.gather(*held)

    async def _connect(self, token: str | None = None) -> Connection:
        return await Client(self.url, self.site.token if token is None else token, self.ca).connect()

    async def _again(self, end: float, token: str) -> Connection:
        while True:
            try:
                return await self._connect(token)
            except _LOST:
                if time.monotonic() > end + DEADLINE_SECONDS:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)


async def _main() -> None:
    order = json.loads(sys.stdin.readline())
    attack = Attack(order["url"], order["ca"], Site(**order["site"]), FAMILIES[order["family"]], order["seconds"], Counter())
    await attack.prepare()
    print(READY, flush=True)
    sys.stdin.readline()
    await attack.run()
    attack.webhooks.stop()
    print(json.dumps(attack.answers), flush=True)


if __name__ == "__main__":
    os.nice(_PRIORITY)
    uvloop.run(_main())
