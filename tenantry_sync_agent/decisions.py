"""What the syncer does next for one object, given what is above and below. Pure functions: docs/syncing.md has the table."""

from __future__ import annotations

from enum import Enum, auto

from tenantry_sync_agent.api_client import Object
from tenantry_sync_agent.translation import APPLIED_ANNOTATION, contains, desired, origin
from tenantry_syncer.names import CONFLICT_PREFIX, UPSTREAM_UID_ANNOTATION, Target


class Step(Enum):
    """One request to one of the servers. After it, `next_step` is asked again."""

    NOTHING = auto()
    """Above and below are as they should be."""
    WAIT = auto()
    """The object below is being deleted. Its end is an event."""
    ADD_FINALIZER = auto()
    CREATE = auto()
    APPLY = auto()
    DELETE = auto()
    """Deletes the object below, of which the one above is known."""
    DELETE_ORPHAN = auto()
    """Deletes the object below, once the server above says that its object does not exist."""
    WRITE_STATUS = auto()
    REMOVE_FINALIZER = auto()
    REPORT_CONFLICT = auto()
    """Says above that an object of this name below belongs to others."""
    CLEAR_CONFLICT = auto()


def next_step(up: Object | None, down: Object | None, target: Target, *, has_status: bool, applied: bool) -> Step:
    """The next step for an object.

    `up`: as the view shows it, None if it does not. `down`: the object of its translated name. `has_status`: whether the type has
    a status subresource above. `applied`: whether `down` is what an apply of the present `up` made of it.

    The order is what makes a crash harmless: the finalizer is there before the object below, and goes after it.
    """
    ours = down if down is not None and origin(down, target) is not None else None
    if up is None:
        if ours is None:
            return Step.NOTHING
        return Step.WAIT if _deleting(ours) else Step.DELETE_ORPHAN
    metadata = up["metadata"]
    finalized = target.finalizer in (metadata.get("finalizers") or ())
    if _deleting(up):
        if ours is not None:
            return Step.WAIT if _deleting(ours) else Step.DELETE
        return Step.REMOVE_FINALIZER if finalized else Step.NOTHING
    if not finalized:
        return Step.ADD_FINALIZER
    conflict = (metadata.get("annotations") or {}).get(CONFLICT_PREFIX + target.key)
    if down is None:
        return Step.CREATE
    if ours is None:
        return Step.NOTHING if conflict else Step.REPORT_CONFLICT
    if _deleting(ours):
        return Step.WAIT
    if _uid_above(ours) != metadata["uid"]:
        # Another object of the same name was deleted above while no syncer ran.
        return Step.DELETE
    if not applied and not up_to_date(up, ours, target):
        return Step.APPLY
    if conflict:
        return Step.CLEAR_CONFLICT
    status = ours.get("status")
    if has_status and status and status != up.get("status"):
        return Step.WRITE_STATUS
    return Step.NOTHING


def up_to_date(up: Object, down: Object, target: Target) -> bool:
    """Whether the object below has all that the one above asks for, and nothing that it asked for before."""
    wanted = desired(up, target)
    digest = (down["metadata"].get("annotations") or {}).get(APPLIED_ANNOTATION)
    return digest == wanted["metadata"]["annotations"][APPLIED_ANNOTATION] and contains(down, wanted)


def _uid_above(down: Object) -> str | None:
    uid: str | None = (down["metadata"].get("annotations") or {}).get(UPSTREAM_UID_ANNOTATION)
    return uid


def _deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))
