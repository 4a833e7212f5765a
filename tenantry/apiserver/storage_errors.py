"""What a failure of the store means to a client."""

from __future__ import annotations

from tenantry.apiserver.forwarded import NOT_OWNER
from tenantry.kube.status import StatusError, internal, timeout, too_many_requests, unavailable
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.range import Range
from tenantry.storage.store import Fenced, Indeterminate, Overdrawn, StoreError, Unavailable


def to_status(error: StoreError | NotOwned) -> StatusError:
    """The refusal for a storage exception. Retriable ones carry Retry-After."""
    if isinstance(error, NotOwned):
        return not_owner(str(error), owner=error.owner.owner if error.owner else "")
    if isinstance(error, Fenced):
        return not_owner(str(error))
    if isinstance(error, Indeterminate):
        return timeout(f"Timeout: whether the write took place is not known: {error}")
    if isinstance(error, Overdrawn):
        return too_many_requests(f"Too many writes, please try again later: {error}")
    if isinstance(error, Unavailable):
        return unavailable(f"the store takes no writes now: {error}")
    return internal(str(error))


def range_of(cell: Cell, cluster: str) -> Range:
    """The range in memory that a logical cluster is in. Raises StatusError 503 where this shard does not own it."""
    try:
        return cell.range_of(cluster)
    except NotOwned as error:
        raise to_status(error) from error


def check_readable(range_: Range) -> None:
    """Raises StatusError 503 where memory may not be served: the range was lost, or the session may have expired.

    Checked when a request comes in, before anything is told from memory, refusals and discovery included. What memory shows
    later in the request is never older.
    """
    if not range_.readable:
        raise not_owner(f"range {range_.name} is not served by this shard now")


def require_readable(range_: Range) -> None:
    """`check_readable` for a request that reads or writes objects, which counts for the range's load."""
    check_readable(range_)
    range_.requests += 1


def not_owner(why: str, *, owner: str = "") -> StatusError:
    """503: nothing was done, because this shard does not own the range, or cannot prove that it does. A gateway or a peer asks
    the owner (`NOT_OWNER`); a client tries again. `owner` is the uid of the shard that owns it now, where that is known."""
    error = unavailable(f"{why}; try again")
    error.headers[NOT_OWNER] = owner or "unknown"
    return error
