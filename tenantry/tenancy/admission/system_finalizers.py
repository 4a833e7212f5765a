"""Finalizers and conditions that only the system sets and removes, because the deletion of an object depends on them.

These are the finalizers of the system's controllers, and the conditions that say whether a CustomResourceDefinition is served.
kcp restores two of these finalizers (LogicalCluster, APIBinding). Kubernetes restores none: a user who removes one leaves
orphaned objects. Users may send objects without these finalizers, or with more; the stored object keeps those that it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import DELETE, Review
from tenantry.apiserver.user import LIFECYCLE_GROUPS
from tenantry.kube.crd_naming import ESTABLISHED, NAMES_ACCEPTED
from tenantry.kube.objects import GroupResource, Object, finalizers_of, is_deleting, metadata_of
from tenantry.kube.types import custom_resource_definition, namespace
from tenantry.tenancy.exports.binding_controller import FINALIZER as BINDING_FINALIZER
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.cached_resource_names import BOTH, GROUP
from tenantry.tenancy.workspaces.state import DELETION_FINALIZER, TERMINATORS_FINALIZER, WORKSPACE_FINALIZER


class SystemFinalizerRule(NamedTuple):
    """`kept`: finalizers that users can neither add nor remove. `borne`: the same, and every object that is not being deleted
    has them."""

    kept: tuple[str, ...] = ()
    borne: tuple[str, ...] = ()


FINALIZERS: Mapping[GroupResource, SystemFinalizerRule] = {
    GroupResource("tenancy.kcp.io", "workspaces"): SystemFinalizerRule(kept=(WORKSPACE_FINALIZER,)),
    GroupResource("core.kcp.io", "logicalclusters"): SystemFinalizerRule(
        kept=(TERMINATORS_FINALIZER,), borne=(DELETION_FINALIZER,)
    ),
    GroupResource("apis.kcp.io", "apibindings"): SystemFinalizerRule(borne=(BINDING_FINALIZER,)),
    **{GroupResource(GROUP, names.plural): SystemFinalizerRule(borne=(names.finalizer,)) for names in BOTH},
    GroupResource("apiextensions.k8s.io", "customresourcedefinitions"): SystemFinalizerRule(
        kept=(custom_resource_definition.FINALIZER,)
    ),
}
NAMESPACES = GroupResource("", "namespaces")
CUSTOM_RESOURCE_DEFINITIONS = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
SERVED = frozenset({ESTABLISHED, NAMES_ACCEPTED})
"""Conditions of a CustomResourceDefinition. The objects of one that is not served would be orphaned when it is deleted."""


class SystemFinalizersAdmission(Plugin):
    types = frozenset({NAMESPACES, *FINALIZERS})

    def __init__(self, *, definitions: SystemDefinitions) -> None:
        self._definitions = definitions

    def mutate(self, review: Review) -> None:
        obj = review.object
        if obj is None or review.operation == DELETE:
            return
        resource = review.definition.group_resource
        if resource == NAMESPACES:
            if review.subresource == "finalize" and not _is_system(review):
                _keep_in_spec(obj, review.old_object or {})
            return
        rule = FINALIZERS.get(resource)
        if rule is None or not self._is_own(review):
            return
        if review.subresource == "status":
            if resource == CUSTOM_RESOURCE_DEFINITIONS and not _is_system(review):
                _keep_conditions(obj, review.old_object or {})
            return
        wanted = _finalizers(review, rule, obj)
        if wanted != finalizers_of(obj):
            metadata_of(obj)["finalizers"] = wanted

    def restore(self, review: Review, before: Mapping[str, Any]) -> None:
        """Also in a write by the platform, webhooks and policies of a tenant neither add nor remove the system's finalizers."""
        obj, rule = review.object, FINALIZERS.get(review.definition.group_resource)
        if obj is None or rule is None or not self._is_own(review):
            return
        had: Sequence[str] = before.get("finalizers") or ()
        names = (*rule.kept, *rule.borne)
        sent = finalizers_of(obj)
        wanted = [each for each in had if each in names and each not in sent]
        wanted += [each for each in sent if each not in names or each in had]
        if wanted != sent:
            metadata_of(obj)["finalizers"] = wanted

    def _is_own(self, review: Review) -> bool:
        """Whether it is the system's type, and not a tenant's type of the same name."""
        own = self._definitions.find(review.definition.group, review.definition.plural)
        return own is None or own.identity == review.definition.identity


def _is_system(review: Review) -> bool:
    return not LIFECYCLE_GROUPS.isdisjoint(review.user.groups)


def _finalizers(review: Review, rule: SystemFinalizerRule, obj: Object) -> list[str]:
    sent = finalizers_of(obj)
    needed: list[str] = []
    if not _is_system(review):
        had = finalizers_of(review.old_object) if review.old_object is not None else []
        needed = [each for each in had if each in rule.kept or each in rule.borne]
        sent = [each for each in sent if each not in rule.kept or each in had]
    if not is_deleting(obj):
        needed += [each for each in rule.borne if each not in needed]
    return [*(each for each in needed if each not in sent), *sent]


def _keep_in_spec(obj: Object, old: Object) -> None:
    had: Sequence[str] = (old.get("spec") or {}).get("finalizers") or ()
    spec = obj.get("spec") or {}
    sent = spec.get("finalizers") or []
    if namespace.FINALIZER in had and namespace.FINALIZER not in sent:
        obj["spec"] = {**spec, "finalizers": [namespace.FINALIZER, *sent]}


def _keep_conditions(obj: Object, old: Object) -> None:
    status, before = obj.get("status") or {}, old.get("status") or {}
    kept = [each for each in before.get("conditions") or () if each.get("type") in SERVED]
    sent = status.get("conditions") or []
    if [each for each in sent if isinstance(each, dict) and each.get("type") in SERVED] == kept:
        return
    others = [each for each in sent if not (isinstance(each, dict) and each.get("type") in SERVED)]
    obj["status"] = {**status, "conditions": [*kept, *others]}
