"""What admission sees of one write. Plugins live in `tenantry.tenancy.admission`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tenantry.apiserver.user import User
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.storage.record import Change

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"


class WrittenScope(Protocol):
    """What admission sees of the scope of a write."""

    @property
    def cell(self) -> Cell: ...

    @property
    def range(self) -> Range: ...


@dataclass(slots=True, eq=False, kw_only=True)
class Review:
    """One write on its way in. `object` (None on DELETE) is in the shape of `version`; mutating admission changes it in place.

    `changes` go into the same transaction as the write (a quota's usage): validating admission appends them, and their `expected`
    makes the whole write start again when it has been overtaken.

    `withheld` is what mutating admission took off the object, (field of metadata, key) → what was sent, for validating admission
    to see what came of it; None before it was looked for.

    `beyond_capacity`: as in `Request`.
    """

    operation: str
    scope: WrittenScope
    definition: ResourceDefinition
    version: Version
    cluster: str
    namespace: str
    name: str
    subresource: str
    user: User
    object: Object | None
    old_object: Object | None
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    withheld: Mapping[tuple[str, str], str | None] | None = None
    beyond_capacity: bool = False


class Admission(Protocol):
    """Both calls are synchronous and decide from memory, so a write is computed and submitted without a gap.

    They may run again for one request when the object was changed meanwhile. They raise StatusError to refuse.
    """

    def mutate(self, review: Review) -> None: ...

    def validate(self, review: Review) -> None: ...


class AdmissionChain:
    """Several admissions in order: every mutate, then (after schema validation, by the caller) every validate."""

    def __init__(self, plugins: Sequence[Admission]) -> None:
        self._plugins = tuple(plugins)

    def mutate(self, review: Review) -> None:
        for plugin in self._plugins:
            plugin.mutate(review)

    def validate(self, review: Review) -> None:
        for plugin in self._plugins:
            plugin.validate(review)
