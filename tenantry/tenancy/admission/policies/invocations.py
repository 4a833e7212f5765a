"""Which policies and bindings a write meets, and with which parameters
(k8s.io/apiserver/pkg/admission/plugin/policy/generic: policy_dispatcher.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from tenantry.kube.admission.evaluation import Allowance
from tenantry.kube.admission_matching import AdmissionRequest, MatchedResource, NamespaceMissing
from tenantry.kube.objects import Object
from tenantry.tenancy.admission.policies.facts import Facts
from tenantry.tenancy.admission.policies.parameters import ParamError, ParamKind, Params
from tenantry.tenancy.admission.policies.policy_index import MATCH_COST, Binding, ClusterPolicies, ParamRef, PolicyHook

P = TypeVar("P")
_NO_PARAMS: Sequence[Object | None] = (None,)
_BINDING_COST = 20
_PARAMS_COST, _SELECTED_PARAMS_COST = 100, 600
"""What it takes of the allowance to find the parameters of a binding, by name or by a selector."""


class NamespaceNeed(NamedTuple):
    """A namespace, as a fact: the object as expressions see it, None where it does not exist."""

    name: str


class Written(NamedTuple):
    """A write, as policies see it."""

    request: AdmissionRequest
    object: Object | None
    old_object: Object | None


class Invocation(NamedTuple, Generic[P]):
    """A policy that a write meets, or why it could not be found out: `error` with Kubernetes' text. `binding` is None where the
    policy itself is at fault."""

    hook: PolicyHook[P]
    binding: Binding | None
    matched: MatchedResource
    params: Object | None
    error: str = ""


def invocations(
    policies: ClusterPolicies[P], hooks: Sequence[PolicyHook[P]], written: Written, facts: Facts, allowance: Allowance
) -> Iterator[Invocation[P]]:
    """The invocations of some policies of a cluster, in their order: one for each binding and parameter. Raises Unknown and
    LoopBudgetExceeded."""
    request, obj, old = written

    def namespace_labels(name: str) -> Mapping[str, str]:
        namespace: Object | None = facts.get(NamespaceNeed(name))
        if namespace is None:
            raise NamespaceMissing(name)
        labels: Mapping[str, str] = namespace["metadata"].get("labels") or {}
        return labels

    for hook, matched in policies.met(hooks, request, allowance):
        matcher = hook.matcher
        if not matcher.selects_all:
            allowance.spend(MATCH_COST * matcher.weight)
            try:
                if not matcher.selects(request, obj, old, namespace_labels):
                    continue
            except NamespaceMissing as missing:
                yield Invocation(hook, None, request.matched, None, f"failed to configure policy: {_not_found(missing)}")
                continue
        kind = ParamKind(policies.cluster, *hook.param_kind) if hook.param_kind is not None else None
        namespaced: bool | None = facts.get(kind) if kind is not None else False
        if kind is not None and namespaced is None:
            what = f"{kind.api_version}, Kind={kind.kind}"
            error = f"failed to configure policy: failed to find resource referenced by paramKind: '{what}'"
            yield Invocation(hook, None, matched, None, error)
            continue
        for binding in hook.bindings:
            allowance.spend(_BINDING_COST)
            if binding.matcher is not None:
                allowance.spend(MATCH_COST * binding.matcher.weight)
                try:
                    if binding.matcher.match(request, obj, old, namespace_labels) is None:
                        continue
                except NamespaceMissing as missing:
                    error = f"failed to configure binding: {_not_found(missing)}"
                    yield Invocation(hook, binding, matched, None, error)
                    continue
            if kind is None:
                yield Invocation(hook, binding, matched, None)
                continue
            try:
                found = _params(kind, bool(namespaced), binding.param_ref, request, facts, allowance)
            except ParamError as problem:
                yield Invocation(hook, binding, matched, None, f"failed to configure binding: {problem}")
                continue
            for params in found:
                yield Invocation(hook, binding, matched, params)


def namespace_of(request: AdmissionRequest, facts: Facts) -> Object | None:
    """The namespace of the object, as expressions see it; None for a cluster-scoped one. Raises as `Facts.get`."""
    if request.is_namespace or not request.namespace:
        return None
    found: Object | None = facts.get(NamespaceNeed(request.namespace))
    return found


def _params(
    kind: ParamKind,
    namespaced: bool,
    reference: ParamRef | None,
    request: AdmissionRequest,
    facts: Facts,
    allowance: Allowance,
) -> Sequence[Object | None]:
    """The parameters of a binding; None stands for none. Raises ParamError, and as `Facts.get`."""
    if reference is None:
        return _NO_PARAMS
    namespace = ""
    if namespaced:
        namespace = reference.namespace or ("" if request.is_namespace else request.namespace)
        if not namespace:
            raise ParamError("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    elif reference.namespace:
        raise ParamError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    wanted = Params(kind, namespace, reference.name, reference.selector)
    if not facts.knows(wanted):
        allowance.spend(_PARAMS_COST if reference.name else _SELECTED_PARAMS_COST)
    found: Sequence[Object] | ParamError = facts.get(wanted)
    if isinstance(found, ParamError):
        raise ParamError(str(found))
    if not found and reference.denies_missing:
        raise ParamError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _not_found(missing: NamespaceMissing) -> str:
    return f'namespaces "{missing}" not found'
