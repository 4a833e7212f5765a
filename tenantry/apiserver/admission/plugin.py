"""The base of admission plug-ins: both methods do nothing unless a plug-in overrides them."""

from __future__ import annotations

from tenantry.apiserver.admission.attributes import Review


class Plugin:
    """An `Admission` that allows every write and changes nothing."""

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        return None
