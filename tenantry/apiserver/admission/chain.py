"""Several admissions as one."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver.admission.attributes import Admission, Review
from tenantry.apiserver.admission.plugin import Plugin


class AdmissionChain:
    """Several admissions in order. Every `mutate` runs first, then (after the caller's schema validation) every `validate`."""

    def __init__(self, plugins: Sequence[Admission]) -> None:
        # What a plug-in leaves to `Plugin` does nothing, and is not called for each write.
        self._mutate = tuple(each.mutate for each in plugins if getattr(type(each), "mutate", None) is not Plugin.mutate)
        self._validate = tuple(each.validate for each in plugins if getattr(type(each), "validate", None) is not Plugin.validate)

    def mutate(self, review: Review) -> None:
        for mutate in self._mutate:
            mutate(review)

    def validate(self, review: Review) -> None:
        for validate in self._validate:
            validate(review)
