"""A VirtualWorkspace, compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tenantry.kube.api_set import bytes_of
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.schema.cel_expression import Expression, words
from tenantry.kube.selectors import labels as label_selectors
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.types.virtual_workspace import (
    ACCESS_VARIABLES,
    FILTER_VARIABLES,
    READ_VERBS,
    SHOW_VARIABLES,
)
from tenantry.virtual.apiexport.domain import Domain
from tenantry.virtual.declared.hidden.paths import Hidden
from tenantry.virtual.declared.hidden.translation import AppliedAnnotation, HiddenFieldsTranslation
from tenantry.virtual.declared.shown_definition import count_definition, hidden_paths, shown_definition

_BYTES = 4096
"""Estimated memory of one declared resource, with its compiled expressions."""
_PART_BYTES = 2000
"""Estimated memory of one part of a hidden path, in the five trees that have it."""


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """Which objects of a resource are meant: those with the labels for which the filter is true.

    `source`: the definition in the view of the export. `asks_for_user`: whether the choice may depend on the caller. `mark`:
    equal for equal choices.
    """

    source: ResourceDefinition
    labels: LabelSelector
    filter: Expression | None
    asks_for_user: bool
    mark: str


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """An entry of `spec.resources`. `show`: text and expression, if it has one. `translation`: of writes, if it hides fields and
    has verbs that write."""

    selected: Selected
    definition: ResourceDefinition
    show: tuple[str, Expression] | None
    hidden: Hidden | None
    translation: HiddenFieldsTranslation | None
    hidden_bytes: int
    """Estimated memory of the hidden fields, as far as values lead to them."""

    @property
    def is_costly(self) -> bool:
        """Whether an expression runs for each object."""
        return self.selected.filter is not None or self.show is not None


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """An entry of `spec.counts`."""

    selected: Selected
    definition: ResourceDefinition


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """What one declared view serves.

    `cluster` (id) and `name`: the VirtualWorkspace. `revision`: that of the store which wrote it. `domain`: what the view of
    the export shows, of which this is a part. `access`: who may use it, None if RBAC decides. `mark`: another one after each
    change.
    """

    cluster: str
    name: str
    revision: int
    domain: Domain
    access: Expression | None
    resources: Mapping[GroupResource, Shown]
    counts: Mapping[GroupResource, Count]
    mark: str

    def expressions(self, resource: GroupResource) -> list[Expression]:
        """The expressions that a request for a resource may evaluate."""
        found = [self.access]
        shown = self.resources.get(resource)
        if shown is not None:
            found += [shown.selected.filter, shown.show[1] if shown.show is not None else None]
        if resource in self.counts:
            # All counts of a place are computed together.
            found += [count.selected.filter for count in self.counts.values()]
        return [each for each in found if each is not None]

    @property
    def place(self) -> ExportKey:
        return self.cluster, self.name

    @property
    def definitions(self) -> Sequence[ResourceDefinition]:
        return (*(shown.definition for shown in self.resources.values()), *(count.definition for count in self.counts.values()))

    @property
    def bytes(self) -> int:
        hidden = sum(shown.hidden_bytes for shown in self.resources.values())
        return bytes_of(self.definitions) + hidden + _BYTES * (1 + len(self.resources) + len(self.counts))


def compiled(cluster: str, name: str, revision: int, spec: Object, domain: Domain) -> Declaration:
    """The declaration of a VirtualWorkspace. Resources that the view of the export does not serve are left out. Expressions are
    not compiled yet. One that is not valid any more fails on every object, so that none is shown without its filter."""
    # Consumers have no objects of types that are not stored (access reviews), or that are stored by the provider.
    sources = {definition.group_resource: definition for definition in domain.definitions if definition.stored}
    resources: dict[GroupResource, Shown] = {}
    for entry in spec.get("resources") or ():
        place = GroupResource(entry.get("group") or "", entry["resource"])
        source = sources.get(place)
        shown = _shown(source, entry, (cluster, name)) if source is not None else None
        if shown is not None:
            resources[place] = shown
    counts: dict[GroupResource, Count] = {}
    taken = {definition.group_resource for definition in domain.definitions}
    for entry in spec.get("counts") or ():
        of = entry["of"]
        source = sources.get(GroupResource(of.get("group") or "", of["resource"]))
        place = GroupResource(entry["group"], entry["resource"])
        # A real type goes first: what is stored under its name must not be mixed with counts.
        count = _count(source, entry) if source is not None and place not in taken else None
        if count is not None:
            counts[place] = count
    access = spec.get("access")
    entry_rule = Expression(access["expression"], ACCESS_VARIABLES) if access else None
    mark = _digest(spec, list(domain.claims.values()), [definition.uid for definition in domain.definitions])
    return Declaration(cluster, name, revision, domain, entry_rule, resources, counts, mark)


def _shown(source: ResourceDefinition, entry: Mapping[str, Any], view: ExportKey) -> Shown | None:
    definition = shown_definition(source, entry, _digest(entry))
    if definition is None:
        return None
    try:
        selected = _selected(source, entry)
        text = entry.get("show")
        show = (text, Expression(text, SHOW_VARIABLES)) if text is not None else None
    except ValueError:
        return None
    paths = hidden_paths(entry)
    translation = None
    if paths and not set(definition.verbs) <= set(READ_VERBS):
        (version,) = (source.versions[each.name] for each in definition.versions.values() if each.served)
        applied = AppliedAnnotation.of(*view, source.storage_key, paths)
        translation = HiddenFieldsTranslation.of(source, version, paths, applied)
    return Shown(selected, definition, show, Hidden(paths) if paths else None, translation, _PART_BYTES * sum(map(len, paths)))


def _count(source: ResourceDefinition, entry: Mapping[str, Any]) -> Count | None:
    try:
        selected = _selected(source, entry["of"])
    except ValueError:
        return None
    if selected.asks_for_user:
        return None
    return Count(selected, count_definition(entry, _digest(entry, source.storage_key)))


def _selected(source: ResourceDefinition, entry: Mapping[str, Any]) -> Selected:
    """Raises ValueError for a selector."""
    text = entry.get("filter")
    selector = label_selectors.from_object(entry.get("labelSelector") or {})
    chosen = Expression(text, FILTER_VARIABLES) if text is not None else None
    return Selected(source, selector, chosen, text is not None and "user" in words(text), _digest(str(selector), text))


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()
