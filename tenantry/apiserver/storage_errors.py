"""The answers to errors of the store."""

from __future__ import annotations

from tenantry.apiserver.forwarded import NOT_OWNER
from tenantry.kube.status import StatusError, internal, timeout, too_many_requests, unavailable
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.range import Range
from tenantry.storage.store import CompareFailed, Indeterminate, Overdrawn, StoreError, Unavailable


def to_status(error: StoreError | NotOwned) -> StatusError:
    """The StatusError for a storage error. Errors after which a client may retry have Retry-After."""
    if isinstance(error, NotOwned):
        return not_owner(str(error), owner=error.owner.owner if error.owner else "")
    if isinstance(error, CompareFailed):
        return not_owner(str(error))
    if isinstance(error, Indeterminate):
        return timeout(f"Timeout: whether the write took place is not known: {error}")
    if isinstance(error, Overdrawn):
        return too_many_requests(f"Too many writes, please try again later: {error}")
    if isinstance(error, Unavailable):
        return unavailable(f"the store takes no writes now: {error}")
    return internal(str(error))


def range_of(cell: Cell, cluster: str) -> Range:
    """The range in memory for a logical cluster. Raises StatusError 503 where this shard does not own it."""
    try:
        return cell.range_of(cluster)
    except NotOwned as error:
        raise to_status(error) from error


def check_readable(range_: Range) -> None:
    """Raises StatusError 503 where memory may not be read: the range was released, or the shard's session may have expired.

    It is called when a request comes in, before anything is read from memory, also for errors and discovery. What memory shows
    later in the request is never older.
    """
    if not range_.readable:
        raise not_owner(f"range {range_.name} is not served by this shard now")


def require_readable(range_: Range) -> None:
    """`check_readable` for a request that reads or writes objects. Such requests count for the range's load."""
    check_readable(range_)
    range_.requests += 1


def not_owner(why: str, *, owner: str = "") -> StatusError:
    """503: nothing was done, because this shard does not own the range, or cannot prove that it does. A gateway or a peer then
    asks the owner (header `NOT_OWNER`); a client retries. `owner` is the uid of the shard that owns the range now, where that is
    known."""
    error = unavailable(f"{why}; try again")
    error.headers[NOT_OWNER] = owner or "unknown"
    return error
