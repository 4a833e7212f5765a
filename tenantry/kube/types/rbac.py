"""Roles, cluster roles and their bindings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tenantry.kube.columns import AGE, CREATED_AT, NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import IMMUTABLE, invalid, not_supported, required
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.message_tables import LABEL_SELECTOR, Message, kind, message
from tenantry.kube.names import dns1123_subdomain_errors, path_segment_errors
from tenantry.kube.objects import Object, namespace_of
from tenantry.kube.status import FieldError

GROUP = "rbac.authorization.k8s.io"
_REF = "io.k8s.api.rbac.v1."

POLICY_RULE = message(
    _REF + "PolicyRule",
    """
    1 verbs           []string always required
    2 apiGroups       []string
    3 resources       []string
    4 resourceNames   []string
    5 nonResourceURLs []string
    """,
)
SUBJECT = message(
    _REF + "Subject",
    """
    1 kind      string always required
    2 apiGroup  string
    3 name      string always required
    4 namespace string
    """,
    atomic=True,
)
ROLE_REF = message(
    _REF + "RoleRef",
    """
    1 apiGroup string always required
    2 kind     string always required
    3 name     string always required
    """,
    atomic=True,
)
AGGREGATION_RULE = message(_REF + "AggregationRule", "1 clusterRoleSelectors []LabelSelector", LABEL_SELECTOR)
ROLE = kind(_REF + "Role", "2 rules []PolicyRule always", POLICY_RULE)
CLUSTER_ROLE = kind(
    _REF + "ClusterRole",
    """
    2 rules           []PolicyRule always
    3 aggregationRule *AggregationRule
    """,
    POLICY_RULE,
    AGGREGATION_RULE,
)
_BINDING_TABLE = """
    2 subjects []Subject
    3 roleRef  RoleRef always required
    """
ROLE_BINDING = kind(_REF + "RoleBinding", _BINDING_TABLE, SUBJECT, ROLE_REF)
CLUSTER_ROLE_BINDING = kind(_REF + "ClusterRoleBinding", _BINDING_TABLE, SUBJECT, ROLE_REF)


class _RbacStrategy(Strategy):
    create_on_update = True

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        # Upstream's function does not know that letters follow.
        return path_segment_errors(name)


class RoleStrategy(_RbacStrategy):
    def __init__(self, *, namespaced: bool) -> None:
        self._namespaced = namespaced

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        errors: list[FieldError] = []
        for index, rule in enumerate(obj.get("rules") or ()):
            errors += _target_errors(rule, f"rules[{index}]", namespaced=self._namespaced)
        aggregation = obj.get("aggregationRule")
        if aggregation is not None:
            errors += _aggregation_errors(aggregation)
        # Upstream finds these by declarative validation, which comes last.
        for index, rule in enumerate(obj.get("rules") or ()):
            errors += _verb_errors(rule, f"rules[{index}]")
        return errors


def rule_errors(rule: Object, path: str, *, namespaced: bool) -> list[FieldError]:
    """The errors of one rule. Roles in a namespace cannot have URLs."""
    return _verb_errors(rule, path) + _target_errors(rule, path, namespaced=namespaced)


def _verb_errors(rule: Object, path: str) -> list[FieldError]:
    return [] if rule.get("verbs") else [required(f"{path}.verbs")]


def _target_errors(rule: Object, path: str, *, namespaced: bool) -> list[FieldError]:
    errors = []
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            errors.append(invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, text))
        return errors
    if not rule.get("apiGroups"):
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors


def _aggregation_errors(aggregation: Object) -> list[FieldError]:
    path = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors")
    if not selectors:
        return [required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")]
    errors: list[FieldError] = []
    for index, selector in enumerate(selectors):
        problems = label_selector_errors(selector, f"{path}[{index}]")
        errors += problems
        if problems:
            errors.append(invalid(f"{path}[{index}]", None, "invalid label selector."))
    return errors


class BindingStrategy(_RbacStrategy):
    def __init__(self, role_kinds: Sequence[str]) -> None:
        self._role_kinds = tuple(role_kinds)

    def default(self, obj: Object) -> None:
        reference = obj["roleRef"] = obj.get("roleRef") or {}
        if not reference.get("apiGroup"):
            reference["apiGroup"] = GROUP
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
                subject["apiGroup"] = GROUP

    def prepare_for_create(self, obj: Object) -> None:
        self.default(obj)

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        self.default(obj)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        reference = obj.get("roleRef") or {}
        errors = []
        if reference.get("apiGroup") != GROUP:
            errors.append(not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), [GROUP]))
        if reference.get("kind") not in self._role_kinds:
            errors.append(not_supported("roleRef.kind", reference.get("kind", ""), self._role_kinds))
        changed = old is not None and reference != (old.get("roleRef") or {})
        missing = [] if reference.get("name") else [required("roleRef.name")]
        errors += missing if changed else []
        if reference.get("name"):
            errors += [invalid("roleRef.name", reference["name"], text) for text in path_segment_errors(reference["name"])]
        for index, subject in enumerate(obj.get("subjects") or ()):
            errors += _subject_errors(subject, f"subjects[{index}]", namespaced=bool(namespace_of(obj)))
        if changed:
            shown = {"APIGroup": reference.get("apiGroup", ""), "Kind": reference.get("kind", "")}
            errors.append(invalid("roleRef", shown | {"Name": reference.get("name", "")}, IMMUTABLE))
        # Upstream finds these by declarative validation, which comes last, and does not look at a role that may not change.
        for index, subject in enumerate(obj.get("subjects") or ()):
            if not subject.get("name"):
                errors.append(required(f"subjects[{index}].name"))
        return errors if changed else errors + missing


def _subject_errors(subject: Object, path: str, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    name, group, of = subject.get("name") or "", subject.get("apiGroup") or "", subject.get("kind") or ""
    if of == "ServiceAccount":
        if name:
            errors += [invalid(f"{path}.name", name, text) for text in dns1123_subdomain_errors(name)]
        if group:
            errors.append(not_supported(f"{path}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    elif of in ("User", "Group"):
        if group != GROUP:
            errors.append(not_supported(f"{path}.apiGroup", group, [GROUP]))
    else:
        errors.append(not_supported(f"{path}.kind", of, ["ServiceAccount", "User", "Group"]))
    return errors


def _role(obj: Object) -> str:
    reference = obj.get("roleRef") or {}
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _subjects(of: str, show: Callable[[Object], str]) -> Callable[[Object], str]:
    return lambda obj: ", ".join(show(s) for s in obj.get("subjects") or () if s.get("kind") == of)


def _binding_columns(singular: str, role_text: str) -> tuple[Any, ...]:
    return (
        NAME,
        column("Role", role_text, _role),
        AGE,
        column("Users", f"Users in the {singular}", _subjects("User", lambda s: s.get("name", "")), priority=1),
        column("Groups", f"Groups in the {singular}", _subjects("Group", lambda s: s.get("name", "")), priority=1),
        column(
            "ServiceAccounts",
            f"ServiceAccounts in the {singular}",
            _subjects("ServiceAccount", lambda s: f"{s.get('namespace', '')}/{s.get('name', '')}"),
            priority=1,
        ),
    )


def _definition(table: Message, strategy: Strategy, columns: tuple[Any, ...], *, namespaced: bool) -> ResourceDefinition:
    singular = table.name.lower()
    return ResourceDefinition(
        group=GROUP,
        plural=singular + "s",
        singular=singular,
        kind=table.name,
        list_kind=table.name + "List",
        namespaced=namespaced,
        versions={"v1": Version(name="v1", schema=table.schema, message=table, columns=columns)},
        storage_version="v1",
        strategy=strategy,
    )


ROLES = _definition(ROLE, RoleStrategy(namespaced=True), (NAME, CREATED_AT), namespaced=True)
CLUSTER_ROLES = _definition(CLUSTER_ROLE, RoleStrategy(namespaced=False), (NAME, CREATED_AT), namespaced=False)
ROLE_BINDINGS = _definition(
    ROLE_BINDING,
    BindingStrategy(("Role", "ClusterRole")),
    _binding_columns(
        "roleBinding",
        "roleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot "
        "be resolved, the Authorizer must return an error.",
    ),
    namespaced=True,
)
CLUSTER_ROLE_BINDINGS = _definition(
    CLUSTER_ROLE_BINDING,
    BindingStrategy(("ClusterRole",)),
    _binding_columns(
        "clusterRoleBinding",
        "roleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer "
        "must return an error.",
    ),
    namespaced=False,
)
