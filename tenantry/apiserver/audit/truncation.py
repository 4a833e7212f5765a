"""Bounds the size of audit events and of batches, as kube-apiserver's --audit-…-truncate-… flags."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.kube.audit.event import Event
from tenantry.kube.audit.policy import REQUEST, REQUEST_RESPONSE


@dataclass(frozen=True, slots=True)
class Truncation:
    """`event_bytes`: of an event; `batch_bytes`: of a batch, about."""

    event_bytes: int
    batch_bytes: int

    def json(self, event: Event) -> bytes | None:
        """The event as JSON, without its objects where it would be too large; None where it still is."""
        line = event.json()
        if len(line) > self.event_bytes and event.level in (REQUEST, REQUEST_RESPONSE):
            line = event.truncated().json()
        return line if len(line) <= self.event_bytes else None
