"""Admission `views.tenantry.dev/VirtualWorkspace`: an escalation check, as RBAC's.

A declared view hands on what the view of an export shows. So its author needs on the content of that export every verb that the
view hands on.
"""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.authorization import Attributes
from tenantry.kube.objects import Object
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.exports.read_bindings import GROUP

_COUNTING = ("list", "watch")


class VirtualWorkspaceAdmission(Plugin):
    def __init__(self, authorizer: ClusterAuthorizer) -> None:
        self._authorizer = authorizer

    def validate(self, review: Review) -> None:
        if not is_main_write(review) or review.object is None:
            return
        spec = review.object.get("spec") or {}
        if review.old_object is not None and review.old_object.get("spec") == spec:
            return
        name = spec["export"]["name"]
        missing = [verb for verb in handed_on(spec) if not self._may(review, verb, name)]
        if missing:
            raise refuse(
                review,
                f'user "{review.user.name}" is attempting to hand on rights not currently held: '
                f'{", ".join(missing)} on apiexports/content of "{name}"',
            )

    def _may(self, review: Review, verb: str, export: str) -> bool:
        question = Attributes(
            review.user,
            verb,
            review.cluster,
            group=GROUP,
            version="v1alpha1",
            resource="apiexports",
            subresource="content",
            name=export,
        )
        return self._authorizer.authorize(question).allowed


def handed_on(spec: Object) -> list[str]:
    """The verbs that a view gives to its users, sorted."""
    found = {verb for entry in spec.get("resources") or () for verb in entry.get("verbs") or ()}
    if spec.get("counts"):
        found.update(_COUNTING)
    return sorted(found)
