"""Writes audit events to a log file, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tenantry.apiserver.audit.delivery import DeliveryFailed
from tenantry.apiserver.audit.log_file import LogFile
from tenantry.apiserver.audit.truncation import Truncation, line_of
from tenantry.kube.audit.event import Event

logger = logging.getLogger(__name__)

JSON, LEGACY = "json", "legacy"
FORMATS = (LEGACY, JSON)


class LogBackend:
    """`delivery.Backend` of a file. `truncation`: None for events of any size."""

    name = "log"

    def __init__(self, file: LogFile, form: str, truncation: Truncation | None = None) -> None:
        self._file = file
        self._form = form
        self._truncation = truncation
        # The default executor may be full of other work, such as names that are looked up.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit-log")
        # To pack a file takes seconds, and requests may wait for what is written.
        self._tidying = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit-log-tidy")

    async def write(self, events: Sequence[Event]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, events)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        for thread in (self._thread, self._tidying):
            thread.shutdown(wait=False)

    def _write(self, events: Sequence[Event]) -> None:
        lines: list[bytes] = []
        lost = 0
        for event in events:
            line = line_of(event, self._truncation)
            if line is None:
                lost += 1
            else:
                lines.append(line if self._form == JSON else event.legacy().encode("utf-8", "replace"))
        try:
            if lines:
                self._file.write(b"\n".join(lines) + b"\n")
        except OSError as error:
            raise DeliveryFailed(f"cannot write the audit log: {error}", len(events)) from error
        if self._file.untidy:
            self._tidying.submit(self._tidy)
        if lost:
            raise DeliveryFailed("events are too large even after truncating, or cannot be encoded", lost)

    def _tidy(self) -> None:
        try:
            self._file.tidy()
        except OSError as error:
            logger.error("old audit logs cannot be packed or deleted", extra={"error": str(error)})
