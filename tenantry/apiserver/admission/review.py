"""What admission gets to see of a write. The plugins are in `tenantry.tenancy`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tenantry.apiserver.user import User
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range
from tenantry.storage.record import Change

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"


class WrittenScope(Protocol):
    """The part of a scope that admission needs."""

    @property
    def cell(self) -> Cell: ...

    @property
    def range(self) -> Range: ...


@dataclass(slots=True, eq=False, kw_only=True)
class Review:
    """One write that admission looks at. `object` is None on DELETE. It is in the shape of `version`; mutating admission changes
    it in place.

    `changes` are committed in the same transaction as the write (for example a quota's usage). Validating admission appends them.
    When a change's `expected` record is outdated, the whole write starts again.

    `withheld` is what mutating admission removed from the object: (field of metadata, key) → the value that was sent. Validating
    admission uses it to see what the write asked for. None until admission has looked.

    `findings` are those of the type (`Strategy.findings`) about an object that is created: errors that validating admission
    answers in its own way. They may come from a thread, and admission runs on the event loop.
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
    findings: Sequence[FieldError] = ()


class Admission(Protocol):
    """Admission of writes. Both calls are synchronous and decide from memory, so that nothing happens between computing a write
    and submitting it.

    They may run several times for one request, when the object was changed meanwhile. They raise StatusError to refuse.
    """

    def mutate(self, review: Review) -> None: ...

    def validate(self, review: Review) -> None: ...
