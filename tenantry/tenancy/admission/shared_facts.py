"""What webhooks and policies may know of the logical cluster in which an object is written, beside the object.

Those of the cluster itself may know all. Those of the provider of a bound API may know what the consumer shares with it: a
policy could write it into the object, which the provider reads through its view. So a namespace is shown where the consumer has
accepted a claim on it, and the authorizer answers about the caller and the API of the provider, or about everything where the
consumer has accepted that the provider creates SubjectAccessReviews. kcp shows all of it to every provider.
"""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.authorization import Authorizer
from tenantry.kube.objects import GroupResource, Object, labels_of
from tenantry.kube.schema.cel_library.authorizer import Answer, Question
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.admission.policies.questions import answer
from tenantry.tenancy.admission.policies.seen_request import namespace_object
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.permission_claims import Claims
from tenantry.tenancy.resources import NAMESPACES

_NAMESPACES = GroupResource("", "namespaces")
_REVIEWS = GroupResource("authorization.k8s.io", "subjectaccessreviews")
_NAME_LABEL = "kubernetes.io/metadata.name"
_NO_LABELS: Mapping[str, str] = {}


class SharedFacts:
    """Answers from memory, on the event loop."""

    def __init__(self, *, cell: Cell, apis: ClusterApis, authorizer: Authorizer, claims: Claims) -> None:
        self._cell = cell
        self._apis = apis
        self._authorizer = authorizer
        self._claims = claims

    def namespace(self, review: Review, name: str) -> Object | None:
        """A namespace of the written cluster as expressions see it; None where it does not exist. A provider that may not see it
        knows its name from the object."""
        found = namespace_object(self._cell.range_of(review.cluster), review.cluster, name)
        if found is None or self._may_see(review, _NAMESPACES, "get", labels_of(found)):
            return found
        return {"metadata": {"name": name, "labels": {_NAME_LABEL: name}}, "spec": {}, "status": {}}

    def namespace_labels(self, review: Review, name: str) -> Mapping[str, str] | None:
        """Its labels, for selectors."""
        record = self._cell.range_of(review.cluster).get(Key(review.cluster, NAMESPACES, "", name))
        if record is None or self._may_see(review, _NAMESPACES, "get", record.head.labels):
            return None if record is None else record.head.labels
        return {_NAME_LABEL: name}

    def answer(self, review: Review, question: Question) -> Answer:
        """What the authorizer answers. May raise Deferred."""
        if not self._is_of_provider(review, question) and not self._may_see(review, _REVIEWS, "create", _NO_LABELS):
            return Answer(False, "", "the workspace does not share this with the provider of the API")
        return answer(question, self._authorizer, review.user, review.cluster)

    def _may_see(self, review: Review, resource: GroupResource, verb: str, labels: Mapping[str, str]) -> bool:
        cluster, home = review.cluster, review.home
        return home == cluster or self._claims.shares(self._cell.range_of(cluster), cluster, home, resource, verb, labels)

    def _is_of_provider(self, review: Review, question: Question) -> bool:
        """Whether it is about the caller, and a resource that the cluster has bound from the provider."""
        if question.path or question.service_account is not None:
            return False
        asked = GroupResource(question.group, question.resource)
        if asked == review.definition.group_resource:
            return True
        return any(
            definition.group_resource == asked and definition.provider == review.home
            for definition in self._apis.for_cluster(review.cluster).of_group(question.group)
        )
