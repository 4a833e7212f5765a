"""Validates what several kinds of admissionregistration.k8s.io have, with Kubernetes' texts
(k8s.io/kubernetes/pkg/apis/admissionregistration/validation)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tenantry.kube.admission.environment import BOOLEAN, CompilationError, Environment, ProgramError
from tenantry.kube.definition import Strategy
from tenantry.kube.field_errors import duplicate, forbidden, internal, invalid, not_supported, required, while_few
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.names import (
    dns1035_label_errors,
    dns1123_subdomain_errors,
    path_segment_errors,
    qualified_name_errors,
)
from tenantry.kube.objects import Object
from tenantry.kube.schema.cel_names import RESERVED
from tenantry.kube.status import FieldError

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
CONDITIONS_MAX = 64
_STATIC_SUFFIX = ".static.k8s.io"
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)


class AdmissionStrategy(Strategy):
    """The base of all types of the group: they cannot be written without their version, and have no names of upstream's static
    configurations."""

    bare_finalizers = True
    prefix_on_update = "before"

    unconditional_update = False
    tracks_generation = True

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        errors = super().name_errors(name, prefix=prefix)
        if name.endswith(_STATIC_SUFFIX) and not prefix:
            what = "are reserved for static manifest-based configurations and cannot be managed via the API"
            errors.append(f'names ending with "{_STATIC_SUFFIX}" {what}')
        return errors


# Rules -----------------------------------------------------------------------------------------------------------------


def rule_with_operations_errors(rule: Object, path: str) -> list[FieldError]:
    """The errors of a RuleWithOperations."""
    operations = rule.get("operations") or []
    errors: list[FieldError] = []
    if not operations:
        errors.append(required(f"{path}.operations"))
    if len(operations) > 1 and "*" in operations:
        text = "if '*' is present, must not specify other operations"
        errors.append(invalid(f"{path}.operations", operations, text))
    for index, operation in while_few(errors, enumerate(operations)):
        if operation not in OPERATIONS:
            errors.append(not_supported(f"{path}.operations[{index}]", operation, OPERATIONS))
    return errors + _rule_errors(rule, path)


def _rule_errors(rule: Object, path: str) -> list[FieldError]:
    groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
    errors: list[FieldError] = []
    for field, values, what in (("apiGroups", groups, "API groups"), ("apiVersions", versions, "API versions")):
        if not values:
            errors.append(required(f"{path}.{field}"))
        if len(values) > 1 and "*" in values:
            errors.append(invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}"))
    for index, version in while_few(errors, enumerate(versions)):
        if not version:
            errors.append(required(f"{path}.apiVersions[{index}]"))
    errors += _resource_errors(rule.get("resources") or [], f"{path}.resources")
    scope = rule.get("scope")
    if scope is not None and scope not in SCOPES:
        errors.append(not_supported(f"{path}.scope", scope, SCOPES))
    return errors


def _resource_errors(resources: Sequence[str], path: str) -> list[FieldError]:
    """The errors of resources and subresources: `pods`, `pods/*`, `*/scale`. One that another one covers is an error only
    after that one."""
    errors: list[FieldError] = [] if resources else [required(path)]
    with_all_subresources: set[str] = set()
    of_all_resources: set[str] = set()
    has_plain = False
    for index, each in while_few(errors, enumerate(resources)):
        if not each:
            errors.append(required(f"{path}[{index}]"))
            continue
        resource, slash, subresource = each.partition("/")
        if not slash:
            has_plain = each != "*"
            continue
        if resource in with_all_subresources:
            text = f"if '{resource}/*' is present, must not specify {each}"
            errors.append(invalid(f"{path}[{index}]", each, text))
        if subresource in of_all_resources:
            text = f"if '*/{subresource}' is present, must not specify {each}"
            errors.append(invalid(f"{path}[{index}]", each, text))
        if subresource == "*":
            with_all_subresources.add(resource)
        if resource == "*":
            of_all_resources.add(subresource)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and has_plain:
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, resources, text))
    return errors


def match_resources_errors(resources: Object | None, path: str) -> list[FieldError]:
    """The errors of a MatchResources with its defaults."""
    if resources is None:
        return []
    errors: list[FieldError] = []
    policy = resources.get("matchPolicy")
    if policy is None:
        errors.append(required(f"{path}.matchPolicy"))
    elif policy not in MATCH_POLICIES:
        errors.append(not_supported(f"{path}.matchPolicy", policy, MATCH_POLICIES))
    for field in ("namespaceSelector", "objectSelector"):
        selector = resources.get(field)
        if selector is None:
            errors.append(required(f"{path}.{field}"))
        else:
            errors += label_selector_errors(selector, f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in while_few(errors, enumerate(resources.get(field) or ())):
            errors += _named_rule_errors(rule, f"{path}.{field}[{index}]")
    return errors


def _named_rule_errors(rule: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    known: set[str] = set()
    for index, name in while_few(errors, enumerate(rule.get("resourceNames") or ())):
        errors += [invalid(f"{path}.resourceNames[{index}]", name, text) for text in path_segment_errors(name)]
        if name in known:
            errors.append(duplicate(f"{path}.resourceNames[{index}]", name))
        known.add(name)
    return errors + rule_with_operations_errors(rule, path)


# Parameters ------------------------------------------------------------------------------------------------------------


def param_kind_errors(kind: Object, path: str) -> list[FieldError]:
    """The errors of a ParamKind."""
    return _api_version_errors(kind.get("apiVersion") or "", f"{path}.apiVersion") + _kind_errors(
        kind.get("kind") or "", f"{path}.kind"
    )


def _api_version_errors(given: str, path: str) -> list[FieldError]:
    if not given:
        return [required(path)]
    if given.count("/") > 1:
        return [invalid(path, given, f"unexpected GroupVersion string: {given}")]
    group, slash, version = given.partition("/")
    if not slash:
        group, version = "", given
    errors: list[FieldError] = []
    wrong = dns1123_subdomain_errors(group) if group else []
    if wrong:
        errors.append(invalid(path, group, ",".join(wrong)))
    if not version:
        errors.append(invalid(path, given, "version must be specified"))
    elif wrong := dns1035_label_errors(version):
        errors.append(invalid(path, version, ",".join(wrong)))
    return errors


def _kind_errors(given: str, path: str) -> list[FieldError]:
    if not given:
        return [required(path)]
    wrong = dns1035_label_errors(given.lower())
    text = "may have mixed case, but should otherwise match: " + ",".join(wrong)
    return [invalid(path, given, text)] if wrong else []


def param_ref_errors(reference: Object | None, path: str) -> list[FieldError]:
    """The errors of a ParamRef."""
    if reference is None:
        return []
    errors: list[FieldError] = []
    name, selector, action = reference.get("name") or "", reference.get("selector"), reference.get("parameterNotFoundAction")
    exclusive = "name and selector are mutually exclusive"
    if name:
        errors += [invalid(f"{path}.name", name, text) for text in path_segment_errors(name)]
        if selector is not None:
            errors.append(forbidden(f"{path}.name", exclusive))
    if selector is not None:
        errors += label_selector_errors(selector, f"{path}.selector")
        if name:
            errors.append(forbidden(f"{path}.selector", exclusive))
    if not name and selector is None:
        errors.append(required(path, "one of name or selector must be specified"))
    if not action:
        errors.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in ("Deny", "Allow"):
        errors.append(not_supported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow")))
    return errors


# Policies --------------------------------------------------------------------------------------------------------------


def failure_policy_errors(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """The errors of the field `failurePolicy`."""
    policy = spec.get("failurePolicy")
    if policy is None:
        return [required(f"{path}.failurePolicy")]
    return [] if policy in FAILURE_POLICIES else [not_supported(f"{path}.failurePolicy", policy, FAILURE_POLICIES)]


def match_constraints_errors(resources: Object | None, path: str) -> list[FieldError]:
    """The errors of `matchConstraints`, which a policy must have."""
    if resources is None:
        return [required(path)]
    errors = match_resources_errors(resources, path)
    if not resources.get("resourceRules"):
        errors.append(required(f"{path}.resourceRules"))
    return errors


def policy_name_errors(name: str, path: str) -> list[FieldError]:
    """The errors of the field `policyName` of a binding."""
    if not name:
        return [required(path)]
    return [invalid(path, name, text) for text in dns1123_subdomain_errors(name)]


def match_condition_errors(conditions: Sequence[Object], path: str, *, has_params: bool = False) -> list[FieldError]:
    """The errors of match conditions, which see no variables of a policy."""
    errors: list[FieldError] = []
    if len(conditions) > CONDITIONS_MAX:
        text = f"Too many: {len(conditions)}: must have at most {CONDITIONS_MAX} items"
        errors.append(FieldError("TooMany", path, text))
    environment = Environment(has_params=has_params)
    known: set[str] = set()
    for index, condition in while_few(errors, enumerate(conditions)):
        place = f"{path}[{index}]"
        name, text = condition.get("name") or "", (condition.get("expression") or "").strip()
        if not text:
            errors.append(required(f"{place}.expression"))
        else:
            errors += expression_errors(environment, text, BOOLEAN, f"{place}.expression")
        if not name:
            errors.append(required(f"{place}.name"))
            continue
        errors += [invalid(f"{place}.name", name, wrong) for wrong in qualified_name_errors(name)]
        if name in known:
            errors.append(duplicate(f"{place}.name", name))
        known.add(name)
    return errors


def variable_errors(environment: Environment, variables: Sequence[Object], path: str) -> list[FieldError]:
    """The errors of a policy's variables, which the environment has afterwards."""
    errors: list[FieldError] = []
    for index, variable in while_few(errors, enumerate(variables)):
        place, name, text = f"{path}[{index}]", variable.get("name") or "", variable.get("expression") or ""
        if not name.strip():
            errors.append(required(f"{place}.name", "name is not specified"))
        elif name in RESERVED or _IDENTIFIER.fullmatch(name) is None:
            errors.append(invalid(f"{place}.name", name, "must be a valid CEL identifier"))
        if not text.strip():
            errors.append(required(f"{place}.expression", "expression is not specified"))
            continue
        try:
            environment.add_variable(name, text)
        except ProgramError as error:
            errors.append(internal(f"{place}.expression", str(error)))
        except CompilationError as error:
            errors.append(invalid(f"{place}.expression", text, f"compilation failed: {error}"))
    return errors


def expression_errors(
    environment: Environment,
    text: str,
    results: Sequence[Any],
    path: str,
    *,
    authorizer: bool = True,
    patch_types: bool = False,
    shown: str | None = None,
) -> list[FieldError]:
    """The error of an expression that does not compile, or has a result of another type. `patch_types`: it is a mutation.
    `shown`: what the error shows in place of the expression."""
    try:
        environment.require(text, results, authorizer=authorizer, patch_types=patch_types)
    except ProgramError as error:
        return [internal(path, str(error))]
    except CompilationError as error:
        return [invalid(path, text if shown is None else shown, str(error))]
    return []
