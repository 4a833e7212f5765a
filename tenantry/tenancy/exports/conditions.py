"""Conditions of kcp's types, as in Cluster API: with a severity, `Ready` first, the others sorted by type."""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
ERROR, WARNING, INFO = "Error", "Warning", "Info"

Condition = dict[str, Any]


def find(status: Object, kind: str) -> Condition | None:
    """The condition of type `kind` in a status; None if there is none."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            return condition  # type: ignore[no-any-return]
    return None


def is_true(status: Object, kind: str) -> bool:
    condition = find(status, kind)
    return condition is not None and condition.get("status") == TRUE


def mark_true(status: Object, kind: str, now: str) -> None:
    """Sets a condition to True in the status, in place. lastTransitionTime changes only with another field. `now`:
    metav1.Time."""
    old = find(status, kind)
    if old is not None and len(old) == 3 and old.get("status") == TRUE and "lastTransitionTime" in old:
        # Nothing changes: the common case, for each condition of each reconciliation.
        return
    _put(status, {"type": kind, "status": TRUE}, now)


def mark_false(status: Object, kind: str, reason: str, message: str, now: str, *, severity: str = ERROR) -> None:
    """Sets a condition to False in the status, in place. `now` is metav1.Time."""
    _put(status, {"type": kind, "status": FALSE, "severity": severity, "reason": reason, "message": message}, now)


def remove(status: Object, kind: str) -> None:
    conditions = [c for c in status.get("conditions") or () if c.get("type") != kind]
    if conditions:
        status["conditions"] = conditions
    else:
        status.pop("conditions", None)


def mirror(status: Object, kind: str, source: str) -> None:
    """Copies the condition `source` to the condition `kind`, in place."""
    origin = find(status, source)
    if origin is not None:
        _put(
            status,
            {k: v for k, v in origin.items() if k not in ("type", "lastTransitionTime")} | {"type": kind},
            origin["lastTransitionTime"],
        )


def _put(status: Object, wanted: Condition, now: str) -> None:
    old = find(status, wanted["type"])
    if old is not None and {k: v for k, v in old.items() if k != "lastTransitionTime"} == wanted:
        return
    wanted["lastTransitionTime"] = now
    conditions = [c for c in status.get("conditions") or () if c.get("type") != wanted["type"]]
    conditions.append(wanted)
    conditions.sort(key=lambda c: (c.get("type") != "Ready", c.get("type", "")))
    status["conditions"] = conditions
