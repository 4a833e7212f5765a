"""Several admissions as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from tenantry.apiserver.admission.dynamic import Configured, DynamicAdmission, WholeAdmission
from tenantry.apiserver.admission.plugin import ByGroup
from tenantry.apiserver.admission.review import Admission, Review


@runtime_checkable
class Restoring(Protocol):
    """A plugin with values that dynamic admission may not change."""

    def restore(self, review: Review, before: Mapping[str, Any]) -> None:
        """Puts them back in `review.object`. `before`: labels, annotations and finalizers as they were (`metadata_before`)."""
        ...


class _NothingConfigured:
    def mutating(self, review: Review) -> Sequence[DynamicAdmission]:
        return ()

    def validating(self, review: Review) -> Sequence[DynamicAdmission]:
        return ()


class AdmissionChain:
    """Several admissions in order. Every `mutate` runs first, then (after the caller's schema validation) every `validate`.

    `charging`: those whose `validate` charges the write (quotas). They run last, because no later one may refuse it.
    `configured`: the dynamic admission that is asked between; none where it is not given.
    """

    def __init__(
        self,
        plugins: Sequence[Admission],
        *,
        charging: Sequence[Admission] = (),
        configured: Configured | None = None,
    ) -> None:
        self._mutate = ByGroup((*plugins, *charging), "mutate")
        self._check = ByGroup(plugins, "validate")
        self._charge = ByGroup(charging, "validate")
        self._restore = tuple(each.restore for each in plugins if isinstance(each, Restoring))
        self.configured: Configured = configured or _NothingConfigured()

    def mutate(self, review: Review) -> None:
        for mutate in self._mutate.of(review.definition.group):
            mutate(review)

    def check(self, review: Review) -> None:
        for validate in self._check.of(review.definition.group):
            validate(review)

    def charge(self, review: Review) -> None:
        for charge in self._charge.of(review.definition.group):
            charge(review)

    def validate(self, review: Review) -> None:
        self.check(review)
        self.charge(review)

    def restore(self, review: Review, before: Mapping[str, Any]) -> None:
        for restore in self._restore:
            restore(review, before)


class PrecededAdmission:
    """The admission of a scope with other plugins before it. It is made for each request of a view, so it computes nothing."""

    __slots__ = ("_plugins", "_whole", "configured")

    def __init__(self, plugins: Sequence[Admission], whole: WholeAdmission) -> None:
        self._plugins = plugins
        self._whole = whole
        self.configured = whole.configured

    def mutate(self, review: Review) -> None:
        for plugin in self._plugins:
            plugin.mutate(review)
        self._whole.mutate(review)

    def check(self, review: Review) -> None:
        for plugin in self._plugins:
            plugin.validate(review)
        self._whole.check(review)

    def charge(self, review: Review) -> None:
        self._whole.charge(review)

    def validate(self, review: Review) -> None:
        self.check(review)
        self.charge(review)

    def restore(self, review: Review, before: Mapping[str, Any]) -> None:
        self._whole.restore(review, before)
