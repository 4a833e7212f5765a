"""A configuration file that is loaded again when it changes, as kube-apiserver does, with its metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.tasks import restarting
from tenantry.http.renewal import file_state
from tenantry.kube.server_configuration.decoding import ConfigurationError

LOOK_SECONDS = 2.0

logger = logging.getLogger(__name__)


class NotYet(Exception):
    """A valid configuration that cannot be used at the moment. It is tried again."""


class ConfigurationFile(Collector):
    """`name`: for logs. `prefix`: of its metrics' names, `apiserver_authentication_config_controller`. `use`: takes the content
    of the changed file into use. It raises ConfigurationError for one that never can be used, and NotYet for one that is tried
    again; the previous one stays in use then. Call `start` and `stop`."""

    def __init__(
        self,
        path: Path,
        content: bytes,
        *,
        name: str,
        prefix: str,
        process: str,
        use: Callable[[bytes], Awaitable[None]],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`content`: what is in use. `process`: its identity, whose hash is a label of the metrics."""
        self._path = path
        self._name = name
        self._prefix = prefix
        self._process = _hash(process.encode())
        self._use = use
        self._look_seconds = look_seconds
        self._seen = content
        self._used_hash = _hash(content)
        self._state: tuple[int, ...] | None = None
        self._reloads = {"success": 0, "failure": 0}
        self._reloaded: dict[str, float] = {}
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = restarting(self._run, name=f"reloading the {self._name}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Loads the file where it has changed."""
        state = await asyncio.to_thread(file_state, self._path)
        if state is not None and state == self._state:
            return
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
        except OSError as error:
            self._failed(f"cannot read it: {error.strerror}")
            return
        if content != self._seen:
            try:
                await self._use(content)
            except NotYet as error:
                self._failed(str(error))
                return
            except ConfigurationError as error:
                self._failed(str(error))
            else:
                self._count("success")
                self._problem = ""
                self._used_hash = _hash(content)
                logger.info("reloaded the %s", self._name, extra={"file": str(self._path)})
        # Noted last: what has failed for the time being is tried again.
        self._seen, self._state = content, state

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        labels = ("status", "apiserver_id_hash")
        reloads = CounterMetricFamily(f"{self._prefix}_automatic_reloads", "Reloads of the file by status.", labels=labels)
        for status, count in self._reloads.items():
            reloads.add_metric((status, self._process), count)
        yield reloads
        last = GaugeMetricFamily(
            f"{self._prefix}_automatic_reload_last_timestamp_seconds", "When it was last reloaded, by status.", labels=labels
        )
        for status, moment in self._reloaded.items():
            last.add_metric((status, self._process), moment)
        yield last
        info = GaugeMetricFamily(
            f"{self._prefix}_last_config_info", "The hash of the file in use.", labels=("apiserver_id_hash", "hash")
        )
        info.add_metric((self._process, self._used_hash), 1)
        yield info

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            await self.look()

    def _failed(self, problem: str) -> None:
        self._count("failure")
        if problem == self._problem:
            return
        self._problem = problem
        logger.error("cannot reload the %s; the previous one stays in use", self._name, extra={"error": problem})

    def _count(self, status: str) -> None:
        self._reloads[status] += 1
        self._reloaded[status] = time.time()


def _hash(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}" if content else ""
