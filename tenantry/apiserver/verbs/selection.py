"""Which records a request selects: labels, fields and what the scope lets its caller see. Nothing is decoded for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tenantry.apiserver import records
from tenantry.apiserver.scope import Call, Visibility
from tenantry.apiserver.work import beside, turns
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.selectors import fields, labels
from tenantry.kube.selectors.fields import FieldSelector
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.kube.status import bad_request
from tenantry.storage.record import Record

_ALWAYS_SELECTABLE = ("metadata.name", "metadata.namespace")

Match = Callable[[Record], bool]

_PIECE = 64
"""Records between two looks at the clock: some 10 µs each with a few requirements."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Selectors of one request, and its scope's visibility. `name` is set where exactly one name can match."""

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
        """The records that match, in their order; the argument itself where all do."""
        match = self.matcher()
        if match is None:
            return found if isinstance(found, Sequence) else list(found)
        return [record for record in found if match(record)]

    async def choose(self, found: Sequence[Record], limit: int = 0) -> tuple[list[Record], int]:
        """The first `limit` (0: all) that match, a list of one's own, and how many do. In slices, from what is there now."""
        match = self.matcher()
        if match is None:
            return list(found[:limit] if limit else found), len(found)
        if len(found) <= _PIECE:
            chosen = [record for record in found if match(record)]
        else:
            now, chosen = list(found), []
            for at in range(0, len(now), _PIECE):
                chosen += [record for record in now[at : at + _PIECE] if match(record)]
                await turns.rest()
        return (chosen[:limit] if limit else chosen), len(chosen)

    def at(self, version: int) -> Selection:
        """With what was visible at a version; the same value where that did not change. Raises TooOld."""
        visibility = self.visibility.at(version) if self.visibility is not None else None
        return self if visibility is self.visibility else replace(self, visibility=visibility)

    def _field_match(self) -> Match:
        definition, version, matches = self.definition, self.version, self.fields.matches
        if all(requirement.field in _ALWAYS_SELECTABLE for requirement in self.fields.requirements):
            return lambda record: matches({"metadata.name": record.key.name, "metadata.namespace": record.key.namespace})
        return lambda record: matches(records.field_values(record, definition, version))


async def selection(call: Call, label_selector: str, field_selector: str) -> Selection:
    """The selection of a request. Raises StatusError 400 for selectors that cannot be read or that the type does not have."""
    definition, tenant = call.definition, call.scope.cluster or ""
    try:
        # As long as URLs may be, they are read at some microseconds for each two letters.
        by_label = await beside(tenant, len(label_selector), lambda: labels.parse(label_selector))
        by_field = await beside(tenant, len(field_selector), lambda: fields.parse(field_selector))
    except ValueError as error:
        raise bad_request(str(error)) from None
    visibility = call.scope.visibility(definition, call.user, call.verb)
    if not by_field.is_everything:
        selectable = call.shape.selectable
        for requirement in by_field.requirements:
            if requirement.field not in _ALWAYS_SELECTABLE and requirement.field not in selectable:
                raise bad_request(_unknown_field(definition, requirement.field, bool(selectable)))
    return Selection(
        definition,
        call.version,
        by_label,
        by_field,
        visibility,
        by_field.required_value("metadata.name") if field_selector else None,
    )


def visible_to(call: Call) -> Match | None:
    """Which records of the type exist for the caller; None where all do."""
    visibility = call.scope.visibility(call.definition, call.user, call.verb)
    return None if visibility is None else visibility.sees


def _unknown_field(definition: ResourceDefinition, field: str, has_own: bool) -> str:
    if definition.custom or has_own:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
