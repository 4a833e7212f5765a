"""What a failure of the store means to a client."""

from __future__ import annotations

from tenantry.kube.status import StatusError, internal, timeout, unavailable
from tenantry.storage.cell import NotOwned
from tenantry.storage.range import Range
from tenantry.storage.store import Fenced, Indeterminate, StoreError, Unavailable


def to_status(error: StoreError | NotOwned) -> StatusError:
    """The refusal for a storage exception. Retriable ones carry Retry-After."""
    if isinstance(error, NotOwned | Fenced):
        return unavailable(f"{error}; try again")
    if isinstance(error, Indeterminate):
        return timeout(f"Timeout: whether the write took place is not known: {error}")
    if isinstance(error, Unavailable):
        return unavailable(f"the store takes no writes now: {error}")
    return internal(str(error))


def require_readable(held: Range) -> None:
    """Raises StatusError 503 where memory may not be served: the range was lost, or the session may have expired."""
    if not held.readable:
        raise unavailable(f"range {held.name} is not served by this shard now; try again")
