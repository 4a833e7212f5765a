"""Admission of a provider's writes to claimed objects: they must match the selector with which the consumer accepted the
claim."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import DELETE, Review
from tenantry.kube.objects import Object, labels_of, metadata_of
from tenantry.tenancy.admission.admission_errors import refuse
from tenantry.tenancy.exports.permission_claims import claim_selector
from tenantry.tenancy.exports.read_bindings import binding_to, bindings_of, bound_resource
from tenantry.virtual.apiexport.acceptance import accepted_claim
from tenantry.virtual.apiexport.domain import Domain


class ClaimSelectorAdmission(Plugin):
    """Adds missing labels of `matchLabels`, and refuses (403) objects that do not match the selector (kcp)."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def mutate(self, review: Review) -> None:
        claim = self._claim(review)
        if claim is None or review.object is None or review.operation == DELETE:
            return
        wanted = (claim.get("selector") or {}).get("matchLabels") or {}
        labels = dict(labels_of(review.object))
        for key, value in wanted.items():
            if labels.setdefault(key, value) != value:
                raise refuse(review, f"protected label {key} must have value {value}")
        if wanted:
            metadata_of(review.object)["labels"] = labels

    def validate(self, review: Review) -> None:
        claim = self._claim(review)
        obj: Object | None = review.old_object if review.operation == DELETE else review.object
        if claim is None or obj is None:
            return
        selector = claim_selector(claim)
        if selector is not None and not selector.matches(labels_of(obj)):
            raise refuse(review, "object does not match required labels")

    def _claim(self, review: Review) -> dict[str, Any] | None:
        """The accepted claim that the write needs; None if it needs none, or one without a selector. Raises StatusError 403."""
        if not review.definition.stored:
            return None
        binding = binding_to(bindings_of(review.scope.range, review.cluster), self._domain.cluster, self._domain.name)
        if binding is None:
            if review.user.is_master:
                return None
            raise refuse(review, "access denied")
        resource = review.definition.group_resource
        if bound_resource(binding, *resource) is not None:
            return None
        claim = accepted_claim(self._domain, binding, resource)
        if claim is None:
            if review.user.is_master:
                return None
            # The consumer took the claim back after the request was authorized.
            raise refuse(review, "access denied")
        return None if (claim.get("selector") or {}).get("matchAll") else claim
