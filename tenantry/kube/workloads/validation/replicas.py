"""Validates the statuses of types that have replicas."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.kube.field_errors import invalid
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import all_not_negative

_MORE = "cannot be greater than status.replicas"
Check = Callable[[Object, Object | None], list[FieldError]]


def status_check(*counts: str, of_all: tuple[str, ...], ready: str = "cannot be greater than readyReplicas") -> Check:
    """The check of a status. `counts`: what is not negative. `of_all`: what is not more than `replicas`. `ready`: the text for
    more available replicas than ready ones."""

    def check(obj: Object, old: Object | None) -> list[FieldError]:
        status = obj.get("status") or {}
        errors = all_not_negative(status, "status", *counts)
        replicas, available = status.get("replicas", 0), status.get("availableReplicas", 0)
        errors += [invalid(f"status.{name}", status.get(name, 0), _MORE) for name in of_all if status.get(name, 0) > replicas]
        if available > status.get("readyReplicas", 0):
            errors.append(invalid("status.availableReplicas", available, ready))
        return errors

    return check


deployment_status = status_check(
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
    of_all=("updatedReplicas", "readyReplicas", "availableReplicas"),
)
replica_set_status = status_check(
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "terminatingReplicas",
    "observedGeneration",
    of_all=("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
)
stateful_set_status = status_check(
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
    of_all=("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
    ready="cannot be greater than status.readyReplicas",
)


def daemon_set_status(obj: Object, old: Object | None) -> list[FieldError]:
    counts = (
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    )
    return all_not_negative(obj.get("status") or {}, "status", *counts)
