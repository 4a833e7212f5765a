"""Several admissions as one."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver.admission.plugin import overridden
from tenantry.apiserver.admission.review import Admission, Review


class AdmissionChain:
    """Several admissions in order. Every `mutate` runs first, then (after the caller's schema validation) every `validate`."""

    def __init__(self, plugins: Sequence[Admission]) -> None:
        self._mutate = overridden(plugins, "mutate")
        self._validate = overridden(plugins, "validate")

    def mutate(self, review: Review) -> None:
        for mutate in self._mutate:
            mutate(review)

    def validate(self, review: Review) -> None:
        for validate in self._validate:
            validate(review)
