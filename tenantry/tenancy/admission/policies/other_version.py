"""Another version in which a policy is matched, and mutates: objects are converted to it and back."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.apiserver import records
from tenantry.apiserver.admission.review import Review
from tenantry.kube.admission.forms import AnyForm, form_of
from tenantry.kube.admission_matching import MatchedResource
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS


class OtherVersion(NamedTuple):
    """`definition` and `version` are those in which a policy is matched."""

    review: Review
    definition: ResourceDefinition
    version: Version

    @property
    def form(self) -> AnyForm:
        return form_of(self.definition, self.version)

    def there(self, obj: Object) -> Object:
        """A copy of an object of the request in this version."""
        return _converted(obj, self.review.version, self.definition, self.version)

    def back(self, obj: Object) -> Object:
        """The other way round."""
        return _converted(obj, self.version, self.review.definition, self.review.version)


def other_version(review: Review, matched: MatchedResource) -> OtherVersion | None:
    """None where a policy is matched in the version of the request."""
    kind = matched.kind
    if review.form is not None or kind == review.request.matched.kind:
        return None
    same_group = kind.group == review.definition.group
    for definition in (review.definition,) if same_group else BUILTINS:
        version = definition.versions.get(kind.version)
        if version is not None and (definition.group, definition.kind) == (kind.group, kind.kind):
            return OtherVersion(review, definition, version)
    return None


def _converted(obj: Object, source: Version, definition: ResourceDefinition, target: Version) -> Object:
    made: Object = records.copy(obj)
    for step in (source.to_storage, target.from_storage):
        if step is not None:
            made = step(made) or made
    made["apiVersion"] = definition.api_version(target.name)
    return made
