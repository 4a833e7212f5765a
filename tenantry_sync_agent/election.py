"""Leader election by a Lease of the server below (client-go: leaderelection)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from tenantry.base.backoff import Backoff
from tenantry_sync_agent.api_client import ApiClient, ApiError, Object, Unreachable
from tenantry_sync_agent.metrics import LEADING

logger = logging.getLogger(__name__)

DEADLINE_PART = 0.6
"""The part of the lease's duration after which a leader that could not renew it stops writing. The rest is more than a request in
flight may take."""
_CONFLICT = 409
_NOT_FOUND = 404


class NotLeading(Exception):
    """This process may not write: it could not renew its lease."""


class Election:
    """One candidate. `run` calls `lead` while it leads, and cancels it when it does not any more.

    `identity`: unique for each process. `seconds`: how long others wait after the last renewal that they saw.
    """

    def __init__(self, client: ApiClient, *, namespace: str, name: str, identity: str, seconds: float) -> None:
        self._client = client
        self._leases = f"{client.server}/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._renewed = -seconds
        self._lease: Object | None = None
        self._seen: tuple[str, float] = ("", 0.0)
        """The version of another one's lease, and when this process saw it first: no clocks are compared."""

    @property
    def leading(self) -> bool:
        return time.monotonic() < self._renewed + self._seconds * DEADLINE_PART

    def check(self) -> None:
        """Called before each write. Raises NotLeading."""
        if not self.leading:
            raise NotLeading

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Until it is cancelled, which gives the lease back."""
        try:
            while True:
                await self._acquire()
                logger.info("%s leads", self._identity)
                LEADING.set(1)
                await self._lead(lead)
                LEADING.set(0)
                logger.warning("%s does not lead any more", self._identity)
        finally:
            LEADING.set(0)
            await asyncio.shield(self._release())

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(_work(lead))
            try:
                await self._renew()
            finally:
                work.cancel()

    async def _acquire(self) -> None:
        backoff = Backoff.steady(self._seconds / 6)
        while True:
            if await self._try():
                return
            await backoff.pause()

    async def _renew(self) -> None:
        """Returns when the lease could not be renewed in time."""
        backoff = Backoff.steady(self._seconds / 6)
        while self.leading:
            await backoff.pause()
            await self._try()

    async def _try(self) -> bool:
        asked = time.monotonic()
        try:
            if await self._take():
                self._renewed = asked
                return True
        except ApiError as error:
            # Another candidate was faster.
            if error.code != _CONFLICT:
                logger.warning("lease: %s", error)
            self._lease = None
        except Unreachable as error:
            logger.warning("lease: %s", error)
            self._lease = None
        return False

    async def _take(self) -> bool:
        url = f"{self._leases}/{self._name}"
        now = _micro_time()
        if self._lease is None:
            try:
                self._lease = await self._client.get(url)
            except ApiError as error:
                if error.code != _NOT_FOUND:
                    raise
                spec = self._spec(now, now, 0)
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}, "spec": spec}
                self._lease = await self._client.create(self._leases, body)
                return True
        lease, spec = self._lease, self._lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder == self._identity:
            spec = self._spec(spec.get("acquireTime") or now, now, spec.get("leaseTransitions") or 0)
        else:
            version = lease["metadata"]["resourceVersion"]
            if self._seen[0] != version:
                self._seen = (version, time.monotonic())
            if holder and time.monotonic() < self._seen[1] + (spec.get("leaseDurationSeconds") or self._seconds):
                self._lease = None
                return False
            spec = self._spec(now, now, (spec.get("leaseTransitions") or 0) + 1)
        self._lease = await self._client.replace(url, {**lease, "spec": spec})
        return True

    async def _release(self) -> None:
        if not self.leading:
            return
        self._renewed = -self._seconds
        try:
            url = f"{self._leases}/{self._name}"
            lease = await self._client.get(url)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._client.replace(url, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        except (ApiError, Unreachable) as error:
            logger.warning("the lease is not given back: %s", error)

    def _spec(self, acquired: str, renewed: str, transitions: int) -> Object:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "acquireTime": acquired,
            "renewTime": renewed,
            "leaseTransitions": transitions,
        }


async def _work(lead: Callable[[], Awaitable[None]]) -> None:
    await lead()


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
