"""The base of admission plugins: both methods do nothing unless a plugin overrides them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from tenantry.apiserver.admission.review import Admission, Review


class Plugin:
    """An `Admission` that allows every write and changes nothing."""

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        return None


def overridden(plugins: Iterable[Admission], method: Literal["mutate", "validate"]) -> tuple[Callable[[Review], None], ...]:
    """The bound methods of those plugins that do not inherit `method` from `Plugin`, in order. What they inherit does nothing,
    and is not called for each write."""
    inherited = getattr(Plugin, method)
    return tuple(getattr(each, method) for each in plugins if getattr(type(each), method, None) is not inherited)
