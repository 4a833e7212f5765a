"""The base of admission plugins: each half does nothing unless a plugin says otherwise."""

from __future__ import annotations

from tenantry.apiserver.admission.attributes import Review


class Plugin:
    """An `Admission` with empty halves."""

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        return None
