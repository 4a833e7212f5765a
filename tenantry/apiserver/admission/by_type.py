"""Admission plugins for single types, found by one look-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tenantry.apiserver.admission.plugin import overridden
from tenantry.apiserver.admission.review import Admission, Review
from tenantry.kube.definition import ResourceDefinition


class ByType:
    """`plugins`: (group, plural) → the plugins for that type, in order. `is_meant`: whether they are about this definition, and
    not about a tenant's type that only has the same name; None if names are enough."""

    def __init__(
        self,
        plugins: Mapping[tuple[str, str], Sequence[Admission]],
        *,
        is_meant: Callable[[ResourceDefinition], bool] | None = None,
    ) -> None:
        self._mutate = {key: overridden(each, "mutate") for key, each in plugins.items()}
        self._validate = {key: overridden(each, "validate") for key, each in plugins.items()}
        self._is_meant = is_meant
        self.groups = frozenset(group for group, _ in plugins)

    def mutate(self, review: Review) -> None:
        definition = review.definition
        methods = self._mutate.get((definition.group, definition.plural))
        if methods and (self._is_meant is None or self._is_meant(definition)):
            for method in methods:
                method(review)

    def validate(self, review: Review) -> None:
        definition = review.definition
        methods = self._validate.get((definition.group, definition.plural))
        if methods and (self._is_meant is None or self._is_meant(definition)):
            for method in methods:
                method(review)
