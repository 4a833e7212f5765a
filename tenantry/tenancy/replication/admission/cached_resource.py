"""Admission `apis.kcp.io/ClusterCachedResource`."""

from __future__ import annotations

from functools import partial

from tenantry.apiserver.admission.by_type import ByType
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Admission, Review
from tenantry.apiserver.authorization import Attributes
from tenantry.kube.objects import Object, annotations_of, metadata_of
from tenantry.kube.selectors import labels as label_selectors
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.virtual_storage import READ_VERBS
from tenantry.tenancy.replication.publications import (
    PUBLICATIONS_MAX,
    SELECTOR_WORDS_MAX,
    Publications,
    group_resource_of,
    gvr_of,
)
from tenantry.tenancy.replication.replication_lookup import REPLICATED_ANNOTATION
from tenantry.tenancy.types.cached_resource_names import BOTH, GROUP, CachedResourceNames


class CachedResourceAdmission(Plugin):
    """Allows one ClusterCachedResource for each resource of a workspace, and only cluster-scoped resources. Keeps the annotation
    that says whether all objects are replicated.

    Who replicates objects gives them to consumers, so it has to be allowed to read them. kcp does not ask that.
    """

    def __init__(
        self, names: CachedResourceNames, *, apis: ClusterApis, publications: Publications, authorizer: ClusterAuthorizer
    ) -> None:
        self._names = names
        self._apis = apis
        self._publications = publications
        self._authorizer = authorizer

    def mutate(self, review: Review) -> None:
        # Only the controller sets this annotation. Without it, consumers get errors, and with a false one a part of the objects.
        obj = review.object
        if obj is None:
            return
        had = annotations_of(review.old_object or {}).get(REPLICATED_ANNOTATION)
        sent = annotations_of(obj)
        if sent.get(REPLICATED_ANNOTATION) != had:
            left = {name: value for name, value in sent.items() if name != REPLICATED_ANNOTATION}
            metadata_of(obj)["annotations"] = left if had is None else {**left, REPLICATED_ANNOTATION: had}

    def validate(self, review: Review) -> None:
        if not is_main_write(review) or review.object is None:
            return
        spec = review.object.get("spec") or {}
        selector = spec.get("labelSelector") or {}
        expressions = selector.get("matchExpressions") or ()
        words = 2 * len(selector.get("matchLabels") or ()) + sum(1 + len(each.get("values") or ()) for each in expressions)
        if words > SELECTOR_WORDS_MAX:
            raise refuse(review, f"spec.labelSelector: Too many: must have at most {SELECTOR_WORDS_MAX} keys and values")
        try:
            label_selectors.from_object(selector)
        except ValueError as error:
            raise refuse(review, f"spec.labelSelector: Invalid value: {error}") from None
        old = (review.old_object or {}).get("spec") or {}
        if review.operation != CREATE and {**old, "identity": None} == {**spec, "identity": None}:
            return
        wanted, kind = group_resource_of(spec), self._names.kind
        refused = [verb for verb in READ_VERBS if not self._may(review, verb, spec)]
        if refused:
            raise refuse(review, f'spec: Forbidden: who replicates {wanted} needs the verbs "{", ".join(refused)}" on it')
        if review.operation != CREATE and gvr_of(old) == gvr_of(spec):
            return
        own = (self._names.resource, review.name)
        present = self._publications.by_cluster.get(review.cluster, {})
        if review.operation == CREATE and len(present) >= PUBLICATIONS_MAX:
            raise refuse(review, f"a workspace has at most {PUBLICATIONS_MAX} of these")
        for place, publication in present.items():
            if place != own and publication.gvr == gvr_of(spec):
                where = f'{kind} with this GVR already exists in the "{review.cluster}" workspace'
                raise refuse(review, f'spec: Invalid value: "{gvr_of(spec)}": {where}')
        definition = self._apis.definition(review.cluster, *wanted)
        # A resource that is edited is reported in a condition (kcp).
        if review.operation == CREATE and definition is not None and definition.namespaced:
            why = f"Resource referenced in {kind} must be cluster-scoped"
            raise refuse(review, f'spec: Invalid value: "{wanted}": {why}')

    def _may(self, review: Review, verb: str, spec: Object) -> bool:
        group, resource = group_resource_of(spec)
        version = spec.get("version") or ""
        question = Attributes(review.user, verb, review.cluster, group=group, version=version, resource=resource)
        return self._authorizer.authorize(question).allowed


def plugins(*, apis: ClusterApis, publications: Publications, authorizer: ClusterAuthorizer) -> list[Admission]:
    """The plugins of both sets of names of the types."""
    made = partial(CachedResourceAdmission, apis=apis, publications=publications, authorizer=authorizer)
    return [ByType({(GROUP, names.plural): (made(names),) for names in BOTH})]
