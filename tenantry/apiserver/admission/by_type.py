"""Admission plug-ins for single types, found by one look-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.apiserver.admission.attributes import Admission, Review


class ByType:
    """`plugins`: (group, plural) → the plug-ins for that type, in order."""

    def __init__(self, plugins: Mapping[tuple[str, str], Sequence[Admission]]) -> None:
        self._plugins = dict(plugins)

    def mutate(self, review: Review) -> None:
        for plugin in self._plugins.get((review.definition.group, review.definition.plural), ()):
            plugin.mutate(review)

    def validate(self, review: Review) -> None:
        for plugin in self._plugins.get((review.definition.group, review.definition.plural), ()):
            plugin.validate(review)
