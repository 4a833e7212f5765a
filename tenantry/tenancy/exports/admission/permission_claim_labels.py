"""Admission `apis.kcp.io/PermissionClaims` (kcp): the labels by which providers see objects that they claimed."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.kube.objects import labels_of, metadata_of
from tenantry.tenancy.admission.admission_errors import refuse
from tenantry.tenancy.exports.hashing import CLAIM_LABEL_PREFIX
from tenantry.tenancy.exports.permission_claims import Claims, claim_labels
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE


class PermissionClaimLabelsAdmission(Plugin):
    """Sets the claim labels, and verifies them after all mutating admission."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    def mutate(self, review: Review) -> None:
        review.claims = None
        expected = self._expected(review)
        if expected is None or review.object is None:
            return
        labels = labels_of(review.object)
        kept = {k: v for k, v in labels.items() if not k.startswith(CLAIM_LABEL_PREFIX)}
        if len(kept) + len(expected) == len(labels) and all(labels.get(k) == v for k, v in expected.items()):
            return
        kept.update(expected)
        if kept:
            metadata_of(review.object)["labels"] = kept
        else:
            metadata_of(review.object).pop("labels", None)

    def validate(self, review: Review) -> None:
        expected = self._expected(review) if not review.subresource else None
        if expected is None or review.object is None:
            return
        actual = claim_labels(labels_of(review.object))
        if actual == expected:
            return
        problems = [
            f'metadata.labels[{key}]: Invalid value: "{actual.get(key, "")}": must be "{value}"'
            for key, value in expected.items()
            if actual.get(key) != value
        ]
        problems += [
            f'metadata.labels[{key}]: Invalid value: "{value}": must not be set'
            for key, value in actual.items()
            if key not in expected
        ]
        raise refuse(review, *problems)

    def _expected(self, review: Review) -> dict[str, str] | None:
        """The claim labels that the object must have; None if nothing is to be done, which is the common case."""
        if (
            # The subresources of custom types leave metadata as it is, those of built-in types write it.
            (review.subresource and review.version.message is None)
            or not review.definition.stored
            or review.operation not in (CREATE, UPDATE)
            or review.object is None
        ):
            return None
        resource = review.definition.group_resource
        if review.claims is None:
            review.claims = self._claims.of(review.scope.range, review.cluster)
        if not review.claims and resource != BINDING_RESOURCE and not claim_labels(labels_of(review.object)):
            return None
        expected = self._claims.expected_labels(review.cluster, resource, review.object, review.claims)
        if not expected and not claim_labels(labels_of(review.object)):
            return None
        return expected
