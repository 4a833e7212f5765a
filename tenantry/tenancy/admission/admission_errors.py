"""Refusals of admission of kcp's types: 403 with field errors, even for validation (kcp)."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.kube.objects import name_of
from tenantry.kube.status import StatusError, forbidden


def refuse(review: Review, *problems: str) -> StatusError:
    """The StatusError 403 of a write, which the caller raises."""
    name = review.name or (name_of(review.object) if review.object is not None else "")
    return forbidden(review.definition.group_resource, name, aggregate(problems))


def aggregate(problems: Sequence[str]) -> str:
    """Several messages as Go's aggregate error prints them."""
    return problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"


def is_main_write(review: Review) -> bool:
    """Whether it is a create or update of the object itself, not of a subresource."""
    return not review.subresource and review.object is not None and review.operation in (CREATE, UPDATE)
