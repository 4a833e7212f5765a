"""The client for programs without an event loop. It is thread-safe."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from tenantry.client.aio import Client
from tenantry.client.channels import Credentials
from tenantry.client.errors import ClientError, Unreachable
from tenantry.client.tenant_map import Location, Range, Shard, TenantMap

Result = TypeVar("Result")


class LoopThread:
    """An event loop in its own thread. `name`: of the thread."""

    def __init__(self, name: str) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result], timeout_seconds: float | None = None) -> Result:
        """Runs `work` on the loop and waits for its result in the calling thread.

        Raises what `work` raises. After the timeout it cancels `work` and raises TimeoutError.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_seconds)
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancels the running tasks and waits for the end of the thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _serve(self) -> None:
        with self._runner as runner:
            runner.run(self._stopped.wait())


class SyncClient:
    """The methods of `tenantry.client.Client`, but blocking. `locate` and `map` read memory and do not block."""

    def __init__(
        self, addresses: Sequence[str], credentials: Credentials, *, follow: bool = True, timeout_seconds: float = 5.0
    ) -> None:
        self._thread = LoopThread("tenantry client")
        self._client = Client(addresses, credentials, follow=follow, timeout_seconds=timeout_seconds)
        try:
            self._thread.run(self._start())
        except BaseException:
            self._thread.stop()
            raise

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sync{repr(self._client)[1:]}"

    def close(self) -> None:
        self._thread.run(self._client.close())
        self._thread.stop()

    @property
    def map(self) -> TenantMap | None:
        return self._client.map

    def locate(self, cluster: str) -> Location | None:
        return self._client.locate(cluster)

    def resolve(self, tenant: str, *, newer_than: int = 0) -> Location:
        if ":" not in tenant:
            found = self._client.locate(tenant)
            if found is not None and found.shard and found.generation > newer_than:
                return found
        return self.ask(tenant, newer_than=newer_than)

    def ask(self, tenant: str, *, newer_than: int = 0) -> Location:
        return self._thread.run(self._client.ask(tenant, newer_than=newer_than))

    def resolve_many(self, tenants: Sequence[str]) -> list[Location | ClientError]:
        return self._thread.run(self._client.resolve_many(tenants))

    def ranges(self) -> list[Range]:
        return self._thread.run(self._client.ranges())

    def shards(self) -> list[Shard]:
        return self._thread.run(self._client.shards())

    def urls(self, workspace: str, export: str) -> list[str]:
        return self._thread.run(self._client.urls(workspace, export))

    def ready(self, timeout_seconds: float = 5.0) -> TenantMap:
        """Waits for the first map and returns it. Raises Unreachable after the timeout."""
        try:
            return self._thread.run(self._client.ready(), timeout_seconds)
        except TimeoutError:
            raise Unreachable(f"no map arrived within {timeout_seconds:g} s") from None

    def changed(self, timeout_seconds: float) -> bool:
        """Waits for the next update. Returns whether one arrived within the timeout."""
        try:
            self._thread.run(self._client.changed(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    def maps(self) -> Iterator[TenantMap]:
        changes = self._client.maps()
        while True:
            yield self._thread.run(anext(changes))  # type: ignore[arg-type]

    async def _start(self) -> None:
        self._client.start()
