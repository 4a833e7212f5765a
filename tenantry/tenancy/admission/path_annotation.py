"""Admission `kcp.io/PathAnnotation`: keeps the annotation `kcp.io/path` equal to the path of the workspace."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import annotations_of, metadata_of
from tenantry.placement.paths.directory import Directory
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.types import cached_resource_names
from tenantry.tenancy.well_known import PATH_ANNOTATION

_FORCED = frozenset(
    {
        ("apis.kcp.io", "apiexports"),
        ("apis.kcp.io", "apibindings"),
        ("tenancy.kcp.io", "workspacetypes"),
        *((cached_resource_names.GROUP, names.plural) for names in cached_resource_names.BOTH),
    }
)
_OWN = ("core.kcp.io", "logicalclusters")
"""LogicalClusters have the original of the path, so it is not changed there."""


class PathAnnotationAdmission(Plugin):
    """Sets the annotation on exports, bindings, workspace types and ClusterCachedResources, and corrects it on other objects
    that have it."""

    def __init__(self, *, directory: Directory) -> None:
        self._directory = directory

    def mutate(self, review: Review) -> None:
        expected = self._expected(review)
        if expected and review.object is not None and annotations_of(review.object).get(PATH_ANNOTATION) != expected:
            metadata = metadata_of(review.object)
            metadata["annotations"] = {**(metadata.get("annotations") or {}), PATH_ANNOTATION: expected}

    def validate(self, review: Review) -> None:
        expected = self._expected(review)
        if expected and review.object is not None and annotations_of(review.object).get(PATH_ANNOTATION) != expected:
            raise refuse(review, f'annotation "{PATH_ANNOTATION}" must match canonical path "{expected}"')

    def _expected(self, review: Review) -> str:
        """The required value; empty if the object needs no annotation, or the path is unknown."""
        place = review.definition.group_resource
        obj = review.object
        if obj is None or (place not in _FORCED and (place == _OWN or PATH_ANNOTATION not in annotations_of(obj))):
            return ""
        if not is_main_write(review):
            return ""
        return self._directory.path_of(review.cluster) or ""
