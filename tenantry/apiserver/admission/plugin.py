"""The base of admission plugins: both methods do nothing unless a plugin overrides them. And which of them are called about a
type."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

from tenantry.apiserver.admission.review import Admission, Review


class Plugin:
    """An `Admission` that allows every write and changes nothing. `groups`: the API groups about whose types it has something to
    say; None: about those of any group."""

    groups: Collection[str] | None = None

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        return None


def overridden(plugins: Iterable[Admission], method: Literal["mutate", "validate"]) -> tuple[Callable[[Review], None], ...]:
    """The bound methods of those plugins that do not inherit `method` from `Plugin`, in order. What they inherit does nothing,
    and is not called for each write."""
    inherited = getattr(Plugin, method)
    return tuple(getattr(each, method) for each in plugins if getattr(type(each), method, None) is not inherited)


class ByGroup:
    """One method of some plugins. Most plugins are about the types of a group or two (`Plugin.groups`), and are not called about
    others."""

    __slots__ = ("_by_group", "_others")

    def __init__(self, plugins: Sequence[Admission], method: Literal["mutate", "validate"]) -> None:
        groups = {group for each in plugins for group in _groups(each) or ()}

        def about(group: str | None) -> Sequence[Callable[[Review], None]]:
            return overridden([each for each in plugins if (found := _groups(each)) is None or group in found], method)

        self._by_group = {group: about(group) for group in groups}
        self._others = about(None)

    def of(self, group: str) -> Sequence[Callable[[Review], None]]:
        """The methods to call about a type of a group, in order."""
        return self._by_group.get(group, self._others)


def _groups(plugin: Admission) -> Collection[str] | None:
    found: Collection[str] | None = getattr(plugin, "groups", None)
    return found
