"""Exports and bindings in the storage version, on which admission decides.

The older version of both types has some fields in annotations, which users can write.
"""

from __future__ import annotations

from tenantry.apiserver import records
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import Object
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import invalid


def stored_form(review: Review, obj: Object | None) -> Object:
    """An object of the review in the storage version; `{}` for None. Never change it."""
    if obj is None:
        return {}
    convert = review.version.to_storage
    return obj if convert is None else convert(records.copy(obj)) or obj


class StoredFormAdmission(Plugin):
    """Validates the result of a conversion by the schema of the storage version."""

    def validate(self, review: Review) -> None:
        if review.object is None or review.version.to_storage is None:
            return
        definition = review.definition
        stored = stored_form(review, review.object)
        # Transition rules were validated in the version that was sent.
        schema = definition.versions[definition.storage_version].schema
        errors = validate({key: stored[key] for key in ("spec", "status") if key in stored}, schema)
        if errors:
            raise invalid(definition.group, definition.kind, review.name, errors)
