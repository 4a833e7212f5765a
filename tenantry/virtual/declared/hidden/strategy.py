"""The strategy of a type of which a view hides fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenantry.kube.definition import Strategy
from tenantry.kube.objects import Object
from tenantry.tenancy.types.strategy import TypeStrategy
from tenantry.virtual.declared.hidden.paths import HERE, Hidden, HiddenPath, Paths, below, has_any, remove


class HidingStrategy(TypeStrategy):
    """Calls the strategy of the type, whose defaults are not to be taken for hidden fields that a client sent."""

    def __init__(self, inner: Strategy, paths: Sequence[HiddenPath], *, go_fields: bool) -> None:
        """`go_fields`: the type is decoded into a structure of Go, which writes some fields that were not sent."""
        super().__init__(inner)
        self._paths = Hidden(paths)
        self._refused = Hidden((*paths, *write_only(inner, paths)))
        self._go_fields = go_fields

    def default(self, obj: Object) -> None:
        if self._go_fields:
            _remove_zeros(obj, self._paths)
        if has_any(obj, self._refused):
            # It will be refused.
            return
        super().default(obj)
        remove(obj, self._paths)


def write_only(strategy: Strategy, paths: Sequence[HiddenPath]) -> tuple[HiddenPath, ...]:
    """The fields of a type that are not stored and that write hidden ones."""
    return tuple(
        (name, *path[1:]) for path in paths for name, stored_as in strategy.write_only.items() if path and path[0] == stored_as
    )


def _remove_zeros(value: Any, paths: Paths) -> None:
    """Removes hidden fields with Go's zero values, which cannot be told from fields that were not sent."""
    if isinstance(value, list):
        for item in value:
            _remove_zeros(item, paths)
    elif isinstance(value, dict):
        for name, rests in below(value, paths).items():
            if HERE not in rests:
                _remove_zeros(value[name], rests)
            elif _is_zero(value[name]):
                del value[name]


def _is_zero(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_zero, value.values()))
    return not value
