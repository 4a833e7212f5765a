"""Exports and bindings as they will be stored: what admission decides about them, it decides about this form.

The older version of both types keeps what it cannot say in annotations, which are a user's text.
"""

from __future__ import annotations

from tenantry.apiserver import records
from tenantry.apiserver.admission.attributes import Review
from tenantry.kube.objects import Object
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import invalid


def stored_form(review: Review, obj: Object | None) -> Object:
    """An object of the review in the storage version, not to be changed. `{}` for None."""
    if obj is None:
        return {}
    convert = review.version.to_storage
    return obj if convert is None else convert(records.copy(obj)) or obj


class StoredForm:
    """What comes out of a conversion is held against the schema of the version in which it is stored and read."""

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        if review.object is None or review.version.to_storage is None:
            return
        definition = review.definition
        stored = stored_form(review, review.object)
        # What the schema says of versions and of the change was held against the version that was sent.
        schema = definition.versions[definition.storage_version].schema
        errors = validate({key: stored[key] for key in ("spec", "status") if key in stored}, schema)
        if errors:
            raise invalid(definition.group, definition.kind, review.name, errors)
