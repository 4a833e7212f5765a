"""Functions that are compiled from a schema once and kept on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenantry.kube.schema.structural import Schema

T = TypeVar("T")


def compiled(schema: Schema, purpose: str, build: Callable[[Schema], T]) -> T:
    """`build(schema)`, done once for each schema value and purpose."""
    kept = schema.compiled
    if kept is None:
        kept = schema.compiled = {}
    try:
        made: T = kept[purpose]
    except KeyError:
        made = kept[purpose] = build(schema)
    return made
