"""The base of admission plugins: both methods do nothing unless a plugin overrides them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal

from tenantry.apiserver.admission.review import Admission, Review
from tenantry.kube.objects import GroupResource


class Plugin:
    """An `Admission` that allows every write and changes nothing.

    `types`: it does nothing in writes of types with other names, so it is not called for them. None: it looks at all types.
    """

    types: Collection[GroupResource] | None = None

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        return None


def overridden(plugins: Iterable[Admission], method: Literal["mutate", "validate"]) -> tuple[Callable[[Review], None], ...]:
    """The bound methods of those plugins that do not inherit `method` from `Plugin`, in order. What they inherit does nothing,
    and is not called for each write."""
    inherited = getattr(Plugin, method)
    return tuple(getattr(each, method) for each in plugins if getattr(type(each), method, None) is not inherited)


class Methods:
    """The `overridden` methods of plugins, for a write of a type: those of the plugins that look at it (`Plugin.types`)."""

    def __init__(self, plugins: Iterable[Admission], method: Literal["mutate", "validate"]) -> None:
        known = [(each, types_of(each)) for each in plugins]
        self._by_type = {
            resource: overridden([each for each, types in known if types is None or resource in types], method)
            for resource in {resource for _, types in known for resource in types or ()}
        }
        self._of_others = overridden([each for each, types in known if types is None], method)

    def of(self, review: Review) -> tuple[Callable[[Review], None], ...]:
        return self._by_type.get(review.definition.group_resource, self._of_others)


def types_of(plugin: Admission) -> Collection[GroupResource] | None:
    """`Plugin.types`; None also for an admission that is no `Plugin`."""
    types: Collection[GroupResource] | None = getattr(plugin, "types", None)
    return types
