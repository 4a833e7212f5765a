"""Which records a request selects: by labels, by fields, and by what the scope lets the caller see. Records are not decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial as bind

from tenantry.apiserver import records
from tenantry.apiserver.deferred import Deferred, at_once, decided
from tenantry.apiserver.visibility import Visibility
from tenantry.base.time_slices import turns
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.selectors.fields import FieldSelector
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.storage.record import Record

ALWAYS_SELECTABLE = ("metadata.name", "metadata.namespace")

Match = Callable[[Record], bool]

_PIECE = 16
"""Records between two checks of the clock. Each takes about 10 µs with a few requirements, and five times as much where a view
has to find out for the first time who may see it."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The selectors of one request and its scope's visibility. `name` is set where only one name can match."""

    definition: ResourceDefinition
    version: str
    labels: LabelSelector
    fields: FieldSelector
    visibility: Visibility | None = None
    name: str | None = None

    @property
    def is_everything(self) -> bool:
        return self.labels.is_everything and self.fields.is_everything and self.visibility is None

    @property
    def has_selectors(self) -> bool:
        return not (self.labels.is_everything and self.fields.is_everything)

    def matcher(self) -> Match | None:
        """A predicate on records, or None where every record matches."""
        tests: list[Match] = []
        if not self.labels.is_everything:
            label_match = self.labels.matches
            tests.append(lambda record: label_match(record.head.labels))
        if not self.fields.is_everything:
            tests.append(self._field_match())
        if self.visibility is not None:
            tests.append(self.visibility.sees)
        if not tests:
            return None
        if len(tests) == 1:
            return tests[0]
        first, *rest = tests
        return lambda record: first(record) and all(test(record) for test in rest)

    def apply(self, found: Iterable[Record]) -> Sequence[Record]:
        """The matching records in their order. The argument itself where all match."""
        match = self.matcher()
        if match is None:
            return found if isinstance(found, Sequence) else list(found)
        return [record for record in found if match(record)]

    @property
    def in_slices(self) -> bool:
        """Whether a single record may take long."""
        return self.visibility is not None and self.visibility.in_slices

    async def choose(self, found: Sequence[Record], limit: int = 0) -> tuple[list[Record], int | None]:
        """The first `limit` matching records (0: all), as a new list, and how many records match. None: more than the limit.
        Works in slices, on the records given. Raises TooOld, as the visibility does."""
        match = self.matcher()
        if match is None:
            return list(found[:limit] if limit else found), len(found)
        chosen: list[Record] = []
        # A copy of all only where there are rests, in which the records may change.
        now = list(found) if len(found) > _PIECE else found
        step = _PIECE if not self.in_slices else 1
        for at in range(0, len(now), step):
            piece = now[at : at + step]
            try:
                chosen += at_once(_matching, match, piece)
            except Deferred:
                for record in piece:
                    if await decided(bind(match, record)):
                        chosen.append(record)
            if limit and len(chosen) > limit:
                return chosen[:limit], None
            if len(now) > _PIECE:
                await turns.rest()
        return chosen, len(chosen)

    def at(self, version: int) -> Selection:
        """The selection with the visibility at a version. The same value where it has not changed. Raises TooOld."""
        visibility = self.visibility.at(version) if self.visibility is not None else None
        return self if visibility is self.visibility else replace(self, visibility=visibility)

    def _field_match(self) -> Match:
        definition, version, matches = self.definition, self.version, self.fields.matches
        if all(requirement.field in ALWAYS_SELECTABLE for requirement in self.fields.requirements):
            return lambda record: matches({"metadata.name": record.key.name, "metadata.namespace": record.key.namespace})
        return lambda record: matches(records.field_values(record, definition, version))


def _matching(match: Match, found: Iterable[Record]) -> list[Record]:
    return [record for record in found if match(record)]
