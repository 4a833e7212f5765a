"""Printer columns that several built-in types have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tenantry.kube.definition import Column
from tenantry.kube.durations import age
from tenantry.kube.objects import Object

_NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to "
    "request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and "
    "configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_CREATED_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set "
    "in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and "
    "is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


def _name(obj: Object, now: datetime) -> Any:
    return obj["metadata"].get("name", "")


def _age(obj: Object, now: datetime) -> Any:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _created(obj: Object, now: datetime) -> Any:
    # What Go writes for no time, as in a bookmark.
    return obj["metadata"].get("creationTimestamp") or "0001-01-01T00:00:00Z"


NAME = Column(name="Name", format="name", description=_NAME_TEXT, cell=_name, reads=("metadata", "name"))
AGE = Column(name="Age", description=_CREATED_TEXT, cell=_age)
CREATED_AT = Column(name="Created At", type="date", description=_CREATED_TEXT, cell=_created)


def column(name: str, description: str, cell: Callable[[Object], Any], *, priority: int = 0, wide_name: bool = False) -> Column:
    """A column whose cell does not depend on the time. `wide_name` gives it the format `name`."""
    return Column(
        name=name,
        description=description,
        priority=priority,
        format="name" if wide_name else "",
        cell=lambda obj, now: cell(obj),
    )
