"""Admission `apis.kcp.io/ClusterCachedResource`."""

from __future__ import annotations

from tenantry.apiserver.admission.by_type import ByType
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Admission, Review
from tenantry.kube.selectors import labels as label_selectors
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.replication.publications import Publications, group_resource_of, gvr_of
from tenantry.tenancy.types.cached_resource_names import BOTH, GROUP, CachedResourceNames


class CachedResourceAdmission(Plugin):
    """Allows one ClusterCachedResource for each resource of a workspace, and only cluster-scoped resources."""

    def __init__(self, names: CachedResourceNames, *, apis: ClusterApis, publications: Publications) -> None:
        self._names = names
        self._apis = apis
        self._publications = publications

    def validate(self, review: Review) -> None:
        if not is_main_write(review) or review.object is None:
            return
        spec = review.object.get("spec") or {}
        try:
            label_selectors.from_object(spec.get("labelSelector") or {})
        except ValueError as error:
            raise refuse(review, f"spec.labelSelector: Invalid value: {error}") from None
        old = (review.old_object or {}).get("spec") or {}
        if review.operation != CREATE and gvr_of(old) == gvr_of(spec):
            return
        wanted, kind = group_resource_of(spec), self._names.kind
        own = (self._names.resource, review.name)
        for place, publication in self._publications.by_cluster.get(review.cluster, {}).items():
            if place != own and publication.gvr == gvr_of(spec):
                where = f'{kind} with this GVR already exists in the "{review.cluster}" workspace'
                raise refuse(review, f'spec: Invalid value: "{gvr_of(spec)}": {where}')
        definition = self._apis.definition(review.cluster, *wanted)
        # A resource that is edited is reported in a condition (kcp).
        if review.operation == CREATE and definition is not None and definition.namespaced:
            why = f"Resource referenced in {kind} must be cluster-scoped"
            raise refuse(review, f'spec: Invalid value: "{wanted}": {why}')


def plugins(*, apis: ClusterApis, publications: Publications) -> list[Admission]:
    """The plugins of both sets of names of the types."""
    return [
        ByType({(GROUP, names.plural): (CachedResourceAdmission(names, apis=apis, publications=publications),) for names in BOTH})
    ]
