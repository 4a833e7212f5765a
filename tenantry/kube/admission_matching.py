"""Which requests a webhook, or an admission policy, is about: rules, scope, match policy, selectors.

The rules are those of k8s.io/apiserver/pkg/admission/plugin/webhook/predicates and …/plugin/policy/matching. Everything here is
pure: it is compiled once of a configuration, and asked about each request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.scale import SCALE_KIND
from tenantry.kube.selectors import labels
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.kube.types import BUILTINS

GROUP = "admissionregistration.k8s.io"
EXEMPT_KINDS = frozenset(
    (
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    )
)
"""Kinds of GROUP about which neither webhooks nor policies are asked: a mistake in one could not be undone."""

Labels = Mapping[str, str]
_ALL = "*"
_COMPARED = 10


class GroupVersionKind(NamedTuple):
    group: str
    version: str
    kind: str


class GroupVersionResource(NamedTuple):
    group: str
    version: str
    resource: str


class MatchedResource(NamedTuple):
    """A resource, and the kind in which its objects (or those of the subresource) are sent."""

    resource: GroupVersionResource
    kind: GroupVersionKind


class AdmissionRequest(NamedTuple):
    """The part of a request that is matched. `operation`: CREATE, UPDATE, DELETE or CONNECT. `namespace`: empty for
    cluster-scoped types; for a Namespace its own name. `equivalents`: the same resource in all of its served versions, the
    request's own among them."""

    operation: str
    matched: MatchedResource
    subresource: str
    namespace: str
    name: str
    equivalents: Sequence[MatchedResource] = ()

    @property
    def is_namespace(self) -> bool:
        """Whether the request is about a Namespace itself, which is cluster-scoped although it has a `namespace` here."""
        return self.matched.resource.group == "" and self.matched.resource.resource == "namespaces"


class NamespaceMissing(Exception):
    """The namespace whose labels are asked for does not exist."""


class Rule:
    """A RuleWithOperations, or a NamedRuleWithOperations."""

    __slots__ = ("_pairs", "groups", "names", "operations", "resources", "scope", "versions")

    def __init__(self, rule: Mapping[str, Any]) -> None:
        """`rule`: as stored."""
        self.operations = _set(rule.get("operations"))
        self.groups = _set(rule.get("apiGroups"))
        self.versions = _set(rule.get("apiVersions"))
        split = (each.partition("/") for each in rule.get("resources") or ())
        self.resources = tuple((resource, subresource) for resource, _, subresource in split)
        self._pairs = frozenset(self.resources)
        self.scope: str = rule.get("scope") or _ALL
        self.names: frozenset[str] = frozenset(rule.get("resourceNames") or ())

    def matches(self, request: AdmissionRequest, resource: GroupVersionResource) -> bool:
        """Whether the rule is about the request, or about the same request for an equivalent `resource`."""
        return (
            self._has_scope(request, resource)
            and _allows(self.operations, request.operation)
            and _allows(self.groups, resource.group)
            and _allows(self.versions, resource.version)
            and self._names(resource.resource, request.subresource)
            and (not self.names or request.name in self.names)
        )

    def _names(self, resource: str, subresource: str) -> bool:
        pairs = self._pairs
        return (
            (resource, subresource) in pairs or (_ALL, subresource) in pairs or (resource, _ALL) in pairs or (_ALL, _ALL) in pairs
        )

    def _has_scope(self, request: AdmissionRequest, resource: GroupVersionResource) -> bool:
        if self.scope == _ALL:
            return True
        clustered = not request.namespace or resource == ("", "v1", "namespaces")
        return clustered if self.scope == "Cluster" else self.scope == "Namespaced" and not clustered


class Matcher:
    """The rules and selectors of a webhook, or the MatchResources of a policy or of its binding.

    `without_rules`: whether it matches every resource where it has no rules, as MatchResources of bindings do. `weight`: 1, and
    one more for each rule, and for so many resources or terms of a selector as are compared in the time that a rule takes.
    `selects_all`: whether its selectors match every write. `names_objects`: whether its rules depend on the object's name.
    """

    __slots__ = (
        "equivalent",
        "excluded",
        "names_objects",
        "namespace_selector",
        "object_selector",
        "rules",
        "selects_all",
        "weight",
        "without_rules",
    )

    def __init__(
        self,
        rules: Iterable[Mapping[str, Any]],
        *,
        excluded: Iterable[Mapping[str, Any]] = (),
        match_policy: str | None = "Equivalent",
        namespace_selector: Object | None = None,
        object_selector: Object | None = None,
        without_rules: bool = False,
    ) -> None:
        """All arguments are as stored. Raises ValueError for a selector that cannot be read."""
        self.rules = tuple(Rule(rule) for rule in rules)
        self.excluded = tuple(Rule(rule) for rule in excluded)
        self.equivalent = match_policy != "Exact"
        self.namespace_selector = _selector(namespace_selector)
        self.object_selector = _selector(object_selector)
        self.without_rules = without_rules
        self.selects_all = self.namespace_selector.is_everything and self.object_selector.is_everything
        self.names_objects = any(rule.names for rule in (*self.rules, *self.excluded))
        rules_weight = sum(1 + len(rule.resources) // _COMPARED for rule in (*self.rules, *self.excluded))
        self.weight = 1 + rules_weight + (_terms(namespace_selector) + _terms(object_selector)) // _COMPARED

    @classmethod
    def of_resources(cls, resources: Mapping[str, Any] | None) -> Matcher:
        """The matcher of a MatchResources (`matchConstraints` of a policy, `matchResources` of a binding)."""
        given = resources or {}
        return cls(
            given.get("resourceRules") or (),
            excluded=given.get("excludeResourceRules") or (),
            match_policy=given.get("matchPolicy"),
            namespace_selector=given.get("namespaceSelector"),
            object_selector=given.get("objectSelector"),
            without_rules=True,
        )

    def match(
        self,
        request: AdmissionRequest,
        obj: Object | None,
        old: Object | None,
        namespace_labels: Callable[[str], Labels],
    ) -> MatchedResource | None:
        """The resource and kind in which the request is matched; None: it is not.

        `namespace_labels`: the labels of a namespace by its name. It raises NamespaceMissing, which is raised here only where
        the rules match.
        """
        found = self.match_rules(request)
        if found is None or self.selects_all or self.selects(request, obj, old, namespace_labels):
            return found
        return None

    def match_rules(self, request: AdmissionRequest) -> MatchedResource | None:
        """As `match`, by the rules alone. They depend on nothing of an object but its name (`names_objects`), and on whether it
        has a namespace."""
        if self.excluded and self._of_rules(self.excluded, request) is not None:
            return None
        return request.matched if self.without_rules and not self.rules else self._of_rules(self.rules, request)

    def selects(
        self,
        request: AdmissionRequest,
        obj: Object | None,
        old: Object | None,
        namespace_labels: Callable[[str], Labels],
    ) -> bool:
        """Whether the selectors match the object and its namespace, as `match`."""
        return self.selects_object(obj, old) and self._selects_namespace(request, obj, namespace_labels)

    def selects_object(self, obj: Object | None, old: Object | None) -> bool:
        """Whether the object selector matches the new or the old object."""
        selector = self.object_selector
        return selector.is_everything or any(
            each is not None and selector.matches((each.get("metadata") or {}).get("labels") or {}) for each in (obj, old)
        )

    def _selects_namespace(
        self, request: AdmissionRequest, obj: Object | None, namespace_labels: Callable[[str], Labels]
    ) -> bool:
        selector = self.namespace_selector
        if selector.is_everything or not (request.namespace or request.is_namespace):
            return True
        if request.is_namespace and not request.subresource and obj is not None:
            return selector.matches((obj.get("metadata") or {}).get("labels") or {})
        return selector.matches(namespace_labels(request.namespace))

    def _of_rules(self, rules: Sequence[Rule], request: AdmissionRequest) -> MatchedResource | None:
        own = request.matched.resource
        for rule in rules:
            if rule.matches(request, own):
                return request.matched
        if self.equivalent:
            for rule in rules:
                for each in request.equivalents:
                    if each.resource != own and rule.matches(request, each.resource):
                        return each
        return None


def equivalents_of(definition: ResourceDefinition, subresource: str) -> Sequence[MatchedResource]:
    """The served versions of a type that have the subresource, and of types that share its storage, in upstream's order."""
    memo = definition.versions[definition.storage_version].memo
    key = ("admission.equivalents", subresource)
    found: tuple[MatchedResource, ...] | None = memo.get(key)
    if found is None:
        sharing = () if definition.custom else (each for each in BUILTINS if each.storage_key == definition.storage_key)
        found = tuple(
            MatchedResource(GroupVersionResource(each.group, version.name, each.plural), kind_of(each, version.name, subresource))
            for each in (sharing or (definition,))
            for version in each.versions.values()
            if version.served and _has(version, subresource)
        )
        memo[key] = found
    return found


def matched_as(definition: ResourceDefinition, version: Version) -> MatchedResource:
    """A version of a type as requests name it."""
    place = ("admission.matched", definition.group, definition.plural, definition.kind)
    found: MatchedResource | None = version.memo.get(place)
    if found is None:
        group, resource = definition.group_resource
        kind = GroupVersionKind(group, version.name, definition.kind)
        found = version.memo[place] = MatchedResource(GroupVersionResource(group, version.name, resource), kind)
    return found


def kind_of(definition: ResourceDefinition, version: str, subresource: str) -> GroupVersionKind:
    """The kind of the objects that are sent for a type, or for a subresource of it."""
    if subresource == "scale":
        return GroupVersionKind(*SCALE_KIND)
    return GroupVersionKind(definition.group, version, definition.kind)


def is_exempt(definition: ResourceDefinition) -> bool:
    """Whether neither webhooks nor policies are asked about objects of a type: those of the types that configure them, and
    access reviews (KEP-5755, ExcludeAdmissionWebhookVirtualResources)."""
    if definition.custom:
        return False
    if definition.group == GROUP:
        return definition.kind in EXEMPT_KINDS
    return definition.group in ("authentication.k8s.io", "authorization.k8s.io")


def is_exempt_from_policies(definition: ResourceDefinition) -> bool:
    """Whether policies are not asked about objects of a type: those of policies themselves, whose mistakes could not be undone,
    and access reviews."""
    if definition.custom:
        return False
    if definition.group == GROUP:
        return "AdmissionPolicy" in definition.kind
    return definition.group in ("authentication.k8s.io", "authorization.k8s.io")


def _has(version: Version, subresource: str) -> bool:
    if subresource == "scale":
        return version.scale is not None
    return not subresource or subresource in version.subresources


def _set(values: Iterable[str] | None) -> frozenset[str] | None:
    """The values, None where they are all."""
    found = frozenset(values or ())
    return None if _ALL in found else found


def _allows(values: frozenset[str] | None, value: str) -> bool:
    return values is None or value in values


def _terms(selector: Object | None) -> int:
    given = selector or {}
    return len(given.get("matchLabels") or ()) + sum(
        1 + len(term.get("values") or ()) // _COMPARED for term in given.get("matchExpressions") or ()
    )


def _selector(selector: Object | None) -> LabelSelector:
    """As upstream's defaulting: a selector that is not there selects everything."""
    return labels.from_object(selector) if selector else labels.EVERYTHING
