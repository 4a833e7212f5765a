"""Deletes requests for certificates that are not needed any more, as kube-controller-manager's csrcleaner and
podcertificaterequestcleaner do."""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import datetime

from tenantry.apiserver import local_client
from tenantry.apiserver.verbs.options import DeleteOptions
from tenantry.base.tasks import restarting
from tenantry.base.time_slices import in_slices
from tenantry.kube import pem
from tenantry.kube.certificates import read_certificate
from tenantry.kube.decode import of_its_type
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.types import pod_certificate_request
from tenantry.kube.types.certificate_signing_request import APPROVED, DEFINITION, DENIED, FAILED, conditions_of
from tenantry.storage.cell import Cell
from tenantry.storage.record import Record
from tenantry.tenancy.cluster_scope import ClusterScopes

PENDING_SECONDS = 24 * 3600.0
"""How long a request is kept that waits for a decision, or for its certificate."""
DECIDED_SECONDS = 3600.0
"""How long one is kept that is issued, denied or failed."""
POD_REQUEST_SECONDS = 15 * 60.0
SWEEP_SECONDS = 300.0

logger = logging.getLogger(__name__)


class CertificateRequestExpiry:
    """One task for a shard, from `start` to `stop`. A sweep reads all requests in slices, and other tasks run between two.

    `now`: the Unix time. `sleep`: waits for seconds. Tests replace both.
    """

    def __init__(
        self,
        *,
        cell: Cell,
        scopes: ClusterScopes,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cell = cell
        self._scopes = scopes
        self._now = now
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = restarting(self._run, name="expiry of certificate requests")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> int:
        """Deletes the requests whose time is over. Returns their number."""
        swept = await self._sweep(DEFINITION, is_over)
        return swept + await self._sweep(pod_certificate_request.DEFINITION, _is_old)

    async def _sweep(self, definition: ResourceDefinition, over: Callable[[Object, float], bool]) -> int:
        swept, now = 0, self._now()
        for range_ in list(self._cell.ranges.values()):
            async for record in in_slices(range_.each(definition.storage_key)):
                obj = None if record.head.deleting else of_its_type(record.value, definition)
                if obj is not None and over(obj, now):
                    swept += await self._delete(definition, record)
        return swept

    async def _delete(self, definition: ResourceDefinition, record: Record) -> bool:
        key = record.key
        options = DeleteOptions(uid=record.head.uid, resource_version=str(record.version))
        try:
            scope = self._scopes.cluster(key.cluster)
            return await local_client.delete(scope, definition, key.namespace, key.name, options=options) is not None
        except StatusError as error:
            # It was written meanwhile, or the range is not available: the next sweep looks again.
            logger.info("a request for a certificate is not deleted", extra={"object": str(key), "error": error.message})
            return False

    async def _run(self) -> None:
        while True:
            await self._sleep(SWEEP_SECONDS)
            await self.sweep()


def is_over(request: Object, now: float) -> bool:
    """Whether the time of a CertificateSigningRequest is over at `now` (Unix time)."""
    certificate = (request.get("status") or {}).get("certificate")
    conditions = conditions_of(request)
    if not conditions:
        return _is_older(request["metadata"].get("creationTimestamp"), PENDING_SECONDS, now)
    for each in conditions:
        name, since = each.get("type"), each.get("lastUpdateTime")
        if name in (DENIED, FAILED) and _is_older(since, DECIDED_SECONDS, now):
            return True
        if name == APPROVED:
            if _is_older(since, DECIDED_SECONDS if certificate else PENDING_SECONDS, now):
                return True
            if certificate and _has_ended(certificate, now):
                return True
    return False


def _is_old(request: Object, now: float) -> bool:
    return _is_older(request["metadata"].get("creationTimestamp"), POD_REQUEST_SECONDS, now)


def _is_older(moment: str | None, seconds: float, now: float) -> bool:
    if not moment:
        return False
    try:
        return now - datetime.fromisoformat(moment).timestamp() > seconds
    except ValueError:
        return False


def _has_ended(encoded: str, now: float) -> bool:
    block = pem.first_block(b64decode(encoded))
    certificate = read_certificate(block.data) if block is not None else None
    return certificate is not None and now > certificate.not_valid_after_utc.timestamp()
