"""Who makes a policy or a binding must be allowed to read its parameters: expressions see them, for any writer
(k8s.io/kubernetes/pkg/registry/admissionregistration/*/authz.go)."""

from __future__ import annotations

from typing import Any, NamedTuple

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.kube.field_errors import forbidden
from tenantry.kube.objects import split_api_version
from tenantry.kube.status import FieldError, invalid
from tenantry.kube.types.admission_messages import GROUP
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.admission.configurations import readable
from tenantry.tenancy.admission.policies.policy_index import spec_of
from tenantry.tenancy.cluster_apis import ClusterApis

_POLICIES = frozenset(("mutatingadmissionpolicies", "validatingadmissionpolicies"))
_BINDINGS = {
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
}


class _Wanted(NamedTuple):
    """The resource of a paramKind, as far as it is known: `*` for what is not."""

    group: str
    version: str
    resource: str


_ANY = _Wanted("*", "*", "*")


class ParamAccessAdmission(Plugin):
    groups = (GROUP,)

    def __init__(self, *, cell: Cell, apis: ClusterApis, authorizer: Authorizer) -> None:
        self._cell = cell
        self._apis = apis
        self._authorizer = authorizer

    def validate(self, review: Review) -> None:
        definition = review.definition
        if definition.group != GROUP or definition.custom or review.operation not in (CREATE, UPDATE) or review.object is None:
            return
        if MASTERS_GROUP in review.user.groups:
            return
        spec = review.object.get("spec") or {}
        old = ((review.old_object or {}).get("spec") or {}) if review.operation == UPDATE else {}
        error: FieldError | None = None
        if definition.plural in _POLICIES:
            error = self._policy_error(review, spec.get("paramKind"), old.get("paramKind"))
        elif definition.plural in _BINDINGS:
            error = self._binding_error(review, spec, old)
        if error is not None:
            raise invalid(definition.group, definition.kind, review.name, [error])

    def _policy_error(self, review: Review, kind: Any, old: Any) -> FieldError | None:
        if kind is None or kind == old:
            return None
        wanted = self._wanted(review.cluster, kind)
        if self._may(review, "get", wanted, "*", "*"):
            return None
        text = 'must have "get" permission on all objects of the referenced paramKind'
        shown = f"(kind={kind.get('kind', '')}, apiVersion={kind.get('apiVersion', '')})"
        return forbidden("spec.paramKind", f"user {_shown(review.user)} {text} {shown}")

    def _binding_error(self, review: Review, spec: Any, old: Any) -> FieldError | None:
        reference = spec.get("paramRef")
        same = reference == old.get("paramRef") and spec.get("policyName") == old.get("policyName")
        if reference is None or same:
            return None
        name, policy = reference.get("name") or "", spec.get("policyName") or ""
        verb = "get" if name else "list"
        key = Key(review.cluster, f"{GROUP}/{_BINDINGS[review.definition.plural]}", "", policy)
        record = self._cell.range_of(review.cluster).get(key)
        if record is not None and not readable(key.resource, [(policy, record.value)]):
            record = None
        kind = spec_of(record.value).get("paramKind") if record is not None else None
        wanted = _ANY if kind is None else self._wanted(review.cluster, kind)
        if self._may(review, verb, wanted, name, reference.get("namespace") or ""):
            return None
        user = _shown(review.user)
        lacks = f'to determine minimum required permissions and user {user} does not have "{verb}" permission for all groups,'
        if record is None:
            text = f"unable to get policy {policy} {lacks} versions and resources"
        elif kind is not None and wanted.resource == "*":
            shown = f"&{{{kind.get('apiVersion', '')} {kind.get('kind', '')}}}"
            text = f"unable to resolve paramKind {shown} {lacks} versions and resources"
        else:
            # Upstream has the verb and the user the other way round.
            text = f'user {verb} does not have "{user}" permission on the object referenced by paramRef'
        return forbidden("spec.paramRef", text)

    def _wanted(self, cluster: str, kind: Any) -> _Wanted:
        group, version = split_api_version(kind.get("apiVersion") or "")
        for definition in self._apis.for_cluster(cluster).of_group(group):
            served = definition.versions.get(version)
            if definition.kind == kind.get("kind") and served is not None and served.served:
                return _Wanted(group, version, definition.plural)
        return _Wanted(group, version, "*")

    def _may(self, review: Review, verb: str, wanted: _Wanted, name: str, namespace: str) -> bool:
        group, version, resource = wanted
        question = Attributes(
            user=review.user,
            verb=verb,
            cluster=review.cluster,
            group=group,
            version=version,
            resource=resource,
            namespace=namespace,
            name=name,
        )
        return self._authorizer.authorize(question).allowed


def _shown(user: User) -> str:
    """A user as Go prints it."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
