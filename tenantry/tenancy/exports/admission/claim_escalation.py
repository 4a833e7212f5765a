"""RBAC's escalation check for APIBindings: a user accepts a permission claim only with the permissions that the claim gives away.

In kcp, a user who may write APIBindings may accept every claim, also of an export of its own, and so become an administrator. The
system writes the claims of default APIBindings, which are not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.rbac.cover import Rule, TooComplex, rules_text, uncovered
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.admission.escalation import RuleLookup
from tenantry.tenancy.exports.admission.stored_form import stored_form
from tenantry.tenancy.exports.permission_claims import accepted_claims, normalized
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE
from tenantry.tenancy.resources import API_BINDINGS

_RBAC = "rbac.authorization.k8s.io"
_EVERYTHING: Rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
_ALSO: Mapping[GroupResource, Sequence[Rule]] = {
    GroupResource(_RBAC, "roles"): ({"apiGroups": [_RBAC], "resources": ["roles"], "verbs": ["escalate"]},),
    GroupResource(_RBAC, "clusterroles"): ({"apiGroups": [_RBAC], "resources": ["clusterroles"], "verbs": ["escalate"]},),
    GroupResource(_RBAC, "rolebindings"): ({"apiGroups": [_RBAC], "resources": ["roles", "clusterroles"], "verbs": ["bind"]},),
    GroupResource(_RBAC, "clusterrolebindings"): ({"apiGroups": [_RBAC], "resources": ["clusterroles"], "verbs": ["bind"]},),
    BINDING_RESOURCE: (_EVERYTHING,),
}
"""Permissions that a claim on these resources gives away besides its verbs, if it allows writes. A provider is an administrator
in a consumer's workspace, so neither RBAC's escalation check nor this one limits it there."""
_READING = frozenset({"get", "list", "watch", "delete", "deletecollection"})
"""Verbs that grant no permissions."""


class ClaimEscalationAdmission(Plugin):
    """Checks claims that an APIBinding accepts and did not accept before. A changed selector counts as a new claim. The
    permission for all objects is needed, whatever the selector."""

    types = frozenset({BINDING_RESOURCE})

    def __init__(self, rules: RuleLookup) -> None:
        self._rules = rules

    def validate(self, review: Review) -> None:
        # Views serve the type with fewer verbs: another definition of the same objects.
        if review.definition.storage_key != API_BINDINGS or not is_main_write(review) or review.user.is_master:
            return
        wanted = list(granted(stored_form(review, review.object), stored_form(review, review.old_object)))
        if not wanted:
            return
        try:
            missing = uncovered(self._rules.rules(review.user, review.cluster, ""), wanted)
        except TooComplex:
            raise refuse(review, "the claims and your rights are too many to be compared; accept fewer at once") from None
        if missing:
            raise refuse(
                review,
                f'user "{review.user.name}" is attempting to accept permission claims for rights not currently held in the whole '
                f"workspace:\n{rules_text(missing)}",
            )


def granted(binding: Object, old: Object) -> Iterable[Rule]:
    """The permissions that a binding (v1alpha2) gives to its provider and `old` did not, as RBAC rules."""
    before = {_place(claim): claim for claim in accepted_claims(old)}
    for claim in accepted_claims(binding):
        had = before.get(_place(claim))
        known = had.get("verbs") or () if had is not None and had.get("selector") == claim.get("selector") else ()
        given = frozenset(known)
        verbs = [verb for verb in claim.get("verbs") or () if not given & {verb, "*"}]
        if not verbs:
            continue
        group, resource = claim.get("group") or "", claim.get("resource") or ""
        for each in _resources(group, resource):
            yield {"apiGroups": [each.group], "resources": [each.resource], "verbs": verbs}
        if not _READING.issuperset(verbs):
            yield from _ALSO.get(GroupResource(group, resource), ())


def _resources(group: str, resource: str) -> Sequence[GroupResource]:
    """The resources of a claim: events of both API groups count as the same resource (kcp)."""
    if normalized(group, resource) == GroupResource("", "events"):
        return (GroupResource("", "events"), GroupResource("events.k8s.io", "events"))
    return (GroupResource(group, resource),)


def _place(claim: Mapping[str, Any]) -> tuple[str, str, str]:
    return claim.get("group") or "", claim.get("resource") or "", claim.get("identityHash") or ""
