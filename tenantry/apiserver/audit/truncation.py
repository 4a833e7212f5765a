"""Bounds the size of audit events and of batches, as kube-apiserver's --audit-…-truncate-… flags."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.base.tasks import raised
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


def line_of(event: Event, truncation: Truncation | None) -> bytes | None:
    """The event as JSON; None where it cannot be delivered. `truncation`: None for events of any size. One event that cannot be
    encoded must not take others of its batch along, so its error is counted and logged here."""
    try:
        return event.json() if truncation is None else truncation.json(event)
    except Exception:  # whatever it is: the other events of the batch are of other tenants
        raised("an audit event cannot be encoded")
        return None
