"""Requests to a platform, and what their answers prove. Every one of them is written to the log."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import orjson

from tests.faults.log import HIDDEN, Item, Log, Operation, Outcome, now

SHOWN = {"shown": "yes"}
"""The label of what the view shows."""
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
ANSWER_SECONDS = 15.0
"""Longer than the platform takes to say that it does not know (etcd's silence is called that after 10 s)."""
GIVEN_UP = "given up"
NO_OUTCOME = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: there was none. `retry_after`: the platform says that nothing was done, and to come again."""

    status: int
    retry_after: bool = False
    body: bytes = b""
    reason: str = ""

    @property
    def outcome(self) -> Outcome:
        """Of a write."""
        if 200 <= self.status < 300:
            return "ok"
        definite = 400 <= self.status < 500 or (self.status == 503 and self.retry_after)
        return "fail" if definite else "unknown"


class Client:
    """Writes, reads and lists ConfigMaps in the namespace `default` of clusters, and logs them. `process`: who does it.

    `url` ends before `/clusters/…`. `prefix`: of the names that belong to this round; lists leave others out. `view`: whether the
    URL is that of a view.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        log: Log,
        *,
        process: int,
        prefix: str,
        shard: str = "",
        view: bool = False,
    ) -> None:
        self._session = session
        self.url = url
        self.log = log
        self.process = process
        self.prefix = prefix
        self._shard = shard
        self.view = view
        self._written = 0

    def value(self) -> str:
        """One that nobody else writes."""
        self._written += 1
        return f"{self.prefix}{self.process}.{self._written}"

    async def create(self, cluster: str, name: str) -> Operation:
        return await self._write("create", "POST", cluster, name, self.value(), 0)

    async def update(self, cluster: str, name: str, base: int = 0) -> Operation:
        """`base` 0: whatever is there."""
        return await self._write("update", "PUT", cluster, name, self.value(), base)

    async def delete(self, cluster: str, name: str, base: int) -> Operation:
        return await self._write("delete", "DELETE", cluster, name, "", base)

    async def get(self, cluster: str, name: str) -> Operation:
        began = now()
        answer = await self._send("GET", f"/clusters/{cluster}{CONFIG_MAPS}/{name}")
        version, value = 0, ""
        if answer.status == 200:
            version, value = _version_and_value(orjson.loads(answer.body))
        known = answer.status in (200, 404)
        return self._log(
            answer, "get", cluster, name, began, "ok" if known else answer.outcome, value=value, version=version,
            present=answer.status == 200 if known else None,
        )  # fmt: skip

    async def list(self, cluster: str) -> Operation:
        began = now()
        answer = await self._send("GET", f"/clusters/{cluster}{CONFIG_MAPS}")
        version, items = 0, []
        if answer.status == 200:
            body = orjson.loads(answer.body)
            version = int(body["metadata"]["resourceVersion"])
            for obj in body["items"]:
                name = obj["metadata"]["name"]
                if name.startswith(self.prefix):
                    items.append(Item(cluster, name, *_version_and_value(obj)))
        return self._log(answer, "list", cluster, "", began, answer.outcome, version=version, items=tuple(items))

    @asynccontextmanager
    async def watch(self, path: str, version: int, seconds: int) -> AsyncIterator[tuple[int, AsyncIterator[Any]]]:
        """The status and the events. Raises NO_OUTCOME."""
        query = f"watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
        async with self._session.get(f"{self.url}{path}?{query}", timeout=timeout) as response:
            yield response.status, _lines(response)

    async def _write(
        self, kind: Literal["create", "update", "delete"], method: str, cluster: str, name: str, value: str, base: int
    ) -> Operation:
        metadata: dict[str, Any] = {"name": name} | ({"resourceVersion": str(base)} if base else {})
        if not name.endswith(HIDDEN):
            metadata["labels"] = SHOWN
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"value": value, "copy": value},
        }
        if kind == "delete":
            body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": str(base)}}
        path = f"/clusters/{cluster}{CONFIG_MAPS}" + ("" if kind == "create" else f"/{name}")
        began = now()
        answer = await self._send(method, path, body)
        version, present = 0, None
        if answer.outcome == "ok" and kind != "delete":
            version, _ = _version_and_value(orjson.loads(answer.body))
        elif answer.status in (404, 409):
            present = answer.status == 409
        return self._log(
            answer, kind, cluster, name, began, answer.outcome, value=value, base=base, version=version, present=present
        )

    def _log(
        self,
        answer: Answer,
        kind: Literal["create", "update", "delete", "get", "list"],
        cluster: str,
        name: str,
        began: float,
        outcome: Outcome,
        **how: Any,
    ) -> Operation:
        operation = Operation(
            self.process,
            kind,
            cluster,
            began,
            now(),
            outcome,
            name,
            status=answer.status,
            shard=self._shard,
            reason=answer.reason,
            view=self.view,
            **how,
        )
        self.log.add(operation)
        if answer.reason == GIVEN_UP:
            # It had to be logged first: the request may have been carried out.
            raise asyncio.CancelledError
        return operation

    async def _send(self, method: str, path: str, body: Any = None) -> Answer:
        try:
            async with self._session.request(method, self.url + path, data=orjson.dumps(body) if body else None) as response:
                read = await response.read()
                reason = read[:300].decode(errors="replace") if response.status >= 400 else ""
                return Answer(response.status, "Retry-After" in response.headers, read, reason)
        except NO_OUTCOME as error:
            return Answer(0, reason=repr(error))
        except asyncio.CancelledError:
            return Answer(0, reason=GIVEN_UP)


@asynccontextmanager
async def http_session(ca: str, token: str) -> AsyncIterator[aiohttp.ClientSession]:
    """`ca`: a PEM file. Any number of requests at once: a platform that stands still must not silence the load."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca), limit=0)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield session


def value_of(data: dict[str, str]) -> tuple[str, bool]:
    """The value of an object, and whether it is whole: every write puts it twice."""
    value, copy = data.get("value", ""), data.get("copy", "")
    return (value, True) if value == copy else (f"{value} beside {copy}", False)


def _version_and_value(obj: dict[str, Any]) -> tuple[int, str]:
    return int(obj["metadata"]["resourceVersion"]), value_of(obj.get("data", {}))[0]


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    rest = b""
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield json.loads(line)


def names(prefix: str, number: int) -> Sequence[str]:
    return [f"{prefix}k{at}" for at in range(number)]
