"""The admission policies of each logical cluster with their bindings, read and compiled when a write first asks for them.

A cluster without policies costs one look-up in the index of its range. What is compiled is kept for all writes, bounded in
bytes, and dropped when a policy or a binding of the cluster changes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from tenantry.base.cache import Cache
from tenantry.kube.admission.evaluation import Allowance
from tenantry.kube.admission_matching import AdmissionRequest, MatchedResource, Matcher, Rule, equivalents_of
from tenantry.kube.decode import NOT_OF_ITS_TYPE
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.selectors import labels
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.tenancy.admission.configurations import AdmissionConfigurations, readable

P = TypeVar("P")
_Objects = tuple[Sequence[tuple[str, bytes]], Sequence[tuple[str, bytes]]]
"""Policies and bindings: (name, JSON) of each."""
_CLUSTERS_BYTES_MAX = 64 << 20
_CLUSTER_BYTES_MAX = 16 << 20
"""The policies of a cluster that take more memory are read for each write."""
_BYTES_OF_A_BYTE = 16
"""The memory that a policy takes for each byte of its JSON: 12 where it is short, less for longer ones."""
_AT_ONCE_BYTES = 32 << 10
"""So many bytes of policies and bindings are read and compiled on the event loop: about a millisecond."""
_MET_KEPT, _EQUIVALENTS_KEPT, _MET_BYTES = 16, 4, 8 << 10
"""For so many kinds of requests a cluster keeps which policies they meet, each of a type with so many versions, in about so much
memory."""
MATCH_COST = 4
"""What it takes of the allowance to match a policy or a binding, by its weight."""
_ALL = "*"


class ParamRef(NamedTuple):
    """Which objects are the parameters of a policy, by its binding: the fields of a ParamRef. Without a name, those that the
    selector matches."""

    name: str
    namespace: str
    selector: LabelSelector
    denies_missing: bool


class Binding(NamedTuple):
    """`matcher` is None where the binding is about everything that its policy is about."""

    name: str
    matcher: Matcher | None
    param_ref: ParamRef | None
    actions: tuple[str, ...]


class PolicyHook(NamedTuple, Generic[P]):
    """A policy that is bound, with its bindings in the order of their names. `param_kind`: (apiVersion, kind)."""

    name: str
    matcher: Matcher
    param_kind: tuple[str, str] | None
    ignores_failures: bool
    policy: P
    bindings: tuple[Binding, ...]


Met = tuple[PolicyHook[P], MatchedResource]
"""A policy whose rules match a request, and the resource as which they do."""


class NotRead(Exception):
    """The policies of a cluster are too large to be read on the event loop. `read` is called in a thread, and then `keep` with
    its result, on the loop."""

    def __init__(self, read: Callable[[], Any], keep: Callable[[Any], None]) -> None:
        super().__init__()
        self.read = read
        self.keep = keep


class ClusterPolicies(Generic[P]):
    """The bound policies of a cluster, in the order of their names. What rules match is found out once for each kind of request,
    and kept."""

    __slots__ = ("_by_resource", "_hooks", "_met", "_names_objects", "cluster")

    def __init__(self, cluster: str, hooks: Sequence[PolicyHook[P]]) -> None:
        self.cluster = cluster
        self._hooks = hooks
        self._names_objects = any(hook.matcher.names_objects for hook in hooks)
        self._met: dict[Hashable, Sequence[Met[P]]] = {}
        self._by_resource: dict[str, list[int]] = {}
        """The resource of a rule, which may be all (`*`) → the policies with such a rule."""
        for place, hook in enumerate(hooks):
            for resource in _resources(hook.matcher.rules):
                self._by_resource.setdefault(resource, []).append(place)

    def about(self, definition: ResourceDefinition) -> Sequence[PolicyHook[P]]:
        """The policies whose rules may match objects of a type, or of one that shares its storage: those that name its resource
        in any group."""
        lists = [places for name in _names_of(definition) if (places := self._by_resource.get(name)) is not None]
        places = lists[0] if len(lists) == 1 else sorted({place for each in lists for place in each})
        return [self._hooks[place] for place in places]

    def met(self, hooks: Sequence[PolicyHook[P]], request: AdmissionRequest, allowance: Allowance) -> Sequence[Met[P]]:
        """Finds the policies whose rules match a request. `hooks`: those `about` its type. Raises LoopBudgetExceeded."""
        key = (request.operation, request.matched, request.subresource, not request.namespace, request.equivalents)
        found = self._met.get(key)
        if found is None:
            found = []
            for hook in hooks:
                allowance.spend(MATCH_COST * hook.matcher.weight)
                matched = hook.matcher.match_rules(request)
                if matched is not None:
                    found.append((hook, matched))
            if not self._names_objects and len(request.equivalents) <= _EQUIVALENTS_KEPT:
                if len(self._met) >= _MET_KEPT:
                    self._met.clear()
                self._met[key] = found
        return found


def _names_of(definition: ResourceDefinition) -> Sequence[str]:
    """The resources by which rules name a type."""
    memo = definition.versions[definition.storage_version].memo
    place = ("admission.names", definition.plural)
    names: tuple[str, ...] | None = memo.get(place)
    if names is None:
        others = (each.resource.resource for each in equivalents_of(definition, ""))
        names = memo[place] = tuple({_ALL, definition.plural, *others})
    return names


class PolicyIndex(Generic[P]):
    """`policies` and `bindings`: the storage keys of the resources. `compile`: makes of the spec of a policy what evaluates it;
    it may run in a thread. `name`: that of the cache in metrics."""

    def __init__(
        self,
        name: str,
        *,
        configurations: AdmissionConfigurations,
        policies: str,
        bindings: str,
        compile: Callable[[Mapping[str, Any]], P],
    ) -> None:
        self._configurations = configurations
        self._policies = policies
        self._bindings = bindings
        self._compile = compile
        self._clusters: Cache[str, ClusterPolicies[P]] = Cache(
            name, bytes_max=_CLUSTERS_BYTES_MAX, entry_bytes_max=_CLUSTER_BYTES_MAX
        )
        configurations.follow((policies, bindings), self._changed)

    def of(self, cluster: str) -> ClusterPolicies[P] | None:
        """The bound policies of a cluster; None where there are none. Raises NotRead."""
        found = self._clusters.get(cluster)
        if found is None:
            has_any = self._configurations.has_any
            if not has_any(self._policies, cluster) or not has_any(self._bindings, cluster):
                return None
            objects = self._objects(cluster)
            if _size(objects) > _AT_ONCE_BYTES:
                raise NotRead(lambda: self._read(cluster, objects), lambda made: self._keep(cluster, objects, made))
            found = self._read(cluster, objects)
            self._clusters.put(cluster, found, _MET_BYTES + _size(objects) * _BYTES_OF_A_BYTE)
        return found

    def _objects(self, cluster: str) -> _Objects:
        return self._configurations.list(self._policies, cluster), self._configurations.list(self._bindings, cluster)

    def _keep(self, cluster: str, objects: _Objects, made: ClusterPolicies[P]) -> None:
        # What has changed while it was read is read again by the next write.
        if self._objects(cluster) == objects:
            self._clusters.put(cluster, made, _MET_BYTES + _size(objects) * _BYTES_OF_A_BYTE)

    def _read(self, cluster: str, objects: _Objects) -> ClusterPolicies[P]:
        try:
            return self._made(cluster, objects)
        except NOT_OF_ITS_TYPE:
            return self._made(cluster, (readable(self._policies, objects[0]), readable(self._bindings, objects[1])))

    def _made(self, cluster: str, objects: _Objects) -> ClusterPolicies[P]:
        policies, bindings = objects
        bound: dict[str, list[Binding]] = {}
        for name, raw in bindings:
            spec = spec_of(raw)
            bound.setdefault(spec.get("policyName") or "", []).append(_binding_of(name, spec))
        return ClusterPolicies(
            cluster, [self._hook_of(name, spec_of(raw), bound[name]) for name, raw in policies if name in bound]
        )

    def _hook_of(self, name: str, spec: Mapping[str, Any], bindings: Sequence[Binding]) -> PolicyHook[P]:
        kind = spec.get("paramKind")
        return PolicyHook(
            name,
            Matcher.of_resources(spec.get("matchConstraints")),
            None if kind is None else (kind.get("apiVersion") or "", kind.get("kind") or ""),
            spec.get("failurePolicy") == "Ignore",
            self._compile(spec),
            tuple(bindings),
        )

    def _changed(self, cluster: str) -> None:
        self._clusters.pop(cluster)


def _size(objects: _Objects) -> int:
    return sum(len(raw) for each in objects for _, raw in each)


def spec_of(raw: bytes) -> Mapping[str, Any]:
    """The spec of a stored policy or binding."""
    spec: Mapping[str, Any] = orjson.loads(raw).get("spec") or {}
    return spec


def _binding_of(name: str, spec: Mapping[str, Any]) -> Binding:
    resources, reference = spec.get("matchResources"), spec.get("paramRef")
    return Binding(
        name,
        None if resources is None else Matcher.of_resources(resources),
        None
        if reference is None
        else ParamRef(
            reference.get("name") or "",
            reference.get("namespace") or "",
            labels.from_object(reference.get("selector")),
            reference.get("parameterNotFoundAction") == "Deny",
        ),
        tuple(spec.get("validationActions") or ()),
    )


def _resources(rules: Sequence[Rule]) -> set[str]:
    return {resource for rule in rules for resource, _ in rule.resources} if rules else {_ALL}
