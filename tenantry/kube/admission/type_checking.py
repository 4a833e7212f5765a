"""Checks the expressions of a policy against the types that it is about: the warnings in its status
(k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tenantry.kube.admission.environment import CompilationError, Environment
from tenantry.kube.admission_matching import GroupVersionKind
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.message_tables import OBJECT_META
from tenantry.kube.objects import Object, split_api_version
from tenantry.kube.schema.cel_declared import Declarations, Declared
from tenantry.kube.schema.cel_types import DYN
from tenantry.kube.schema.structural import Schema

TYPES_OF_RULE_MAX = 10
WORK_MAX = 500_000
"""The most characters of expressions that are checked for one policy, counted for each type: some seconds in a thread. Further
types are not checked. Kubernetes has no such limit."""
_TEXT = Schema(type="string")


class CheckedType(NamedTuple):
    """A type that a policy is about. `declared` is None where it has no schema; then it is dyn."""

    kind: GroupVersionKind
    declared: Declared | None
    structs: Mapping[str, Declared]


def types_of(spec: Mapping[str, Any], apis: ApiSet) -> list[CheckedType]:
    """The types that the rules of a policy name, without wildcards, in the order of their names."""
    found: dict[GroupVersionKind, tuple[ResourceDefinition, Version]] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = sorted(rule.get("apiGroups") or ()), sorted(rule.get("apiVersions") or ())
        if any("*" in each for each in (*groups, *versions)):
            continue
        resources = sorted(each for each in rule.get("resources") or () if "*" not in each and "/" not in each)
        for count, each in enumerate(_named(apis, groups, versions, resources), 1):
            definition, version = each
            found[GroupVersionKind(definition.group, version.name, definition.kind)] = each
            if count == TYPES_OF_RULE_MAX:
                # As upstream, which looks at no further rule.
                return _checked(found)
    return _checked(found)


def params_type(spec: Mapping[str, Any], apis: ApiSet) -> CheckedType | None:
    """The type of a policy's parameters; None where it has no paramKind."""
    kind = spec.get("paramKind")
    if kind is None:
        return None
    group, name = split_api_version(kind.get("apiVersion") or "")
    wanted = GroupVersionKind(group, name, kind.get("kind") or "")
    for definition in apis.of_group(group):
        version = definition.versions.get(name)
        if definition.kind == wanted.kind and version is not None and version.served:
            return _type(wanted, definition, version)
    return CheckedType(wanted, None, {})


def warnings_of(spec: Mapping[str, Any], checked: Sequence[CheckedType], params: CheckedType | None) -> list[Object]:
    """The ExpressionWarnings of a policy."""
    texts = [*_expressions(spec)]
    found: dict[str, list[str]] = {path: [] for path, _ in texts}
    size = sum(len(text) for _, text in texts) + sum(len(each["expression"]) for each in spec.get("variables") or ())
    for checked_type in checked[: max(1, WORK_MAX // max(1, size))]:
        environment = _environment(spec, checked_type, params)
        for path, text in texts:
            try:
                environment.type_of(text)
            except CompilationError as error:
                group, version, kind = checked_type.kind
                found[path].append(f"{group}/{version}, Kind={kind}: {error}\n")
    return [{"fieldRef": path, "warning": "\n".join(each)} for path, each in found.items() if each]


def _expressions(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for index, validation in enumerate(spec.get("validations") or ()):
        yield f"spec.validations[{index}].expression", validation["expression"]
        if validation.get("messageExpression"):
            yield f"spec.validations[{index}].messageExpression", validation["messageExpression"]


def _environment(spec: Mapping[str, Any], checked: CheckedType, params: CheckedType | None) -> Environment:
    variables = spec.get("variables") or ()
    environment = Environment(
        has_params=params is not None,
        composes=True,
        object_type=DYN if checked.declared is None else checked.declared.type,
        params_type=DYN if params is None or params.declared is None else params.declared.type,
        structs={**checked.structs, **(params.structs if params is not None else {})},
        request_resource=False,
    )
    for variable in variables:
        try:
            environment.add_variable(variable["name"], variable["expression"])
        except CompilationError:
            # It is dyn, and warnings are about validations alone.
            continue
    return environment


def _named(
    apis: ApiSet, groups: Iterable[str], versions: Sequence[str], resources: Sequence[str]
) -> Iterator[tuple[ResourceDefinition, Version]]:
    for group in groups:
        # An empty group means any group, as in upstream's look-up.
        definitions = [*(apis.of_group(group) if group else apis)]
        for name in versions:
            for resource in resources:
                for definition in definitions:
                    version = definition.versions.get(name)
                    if version is not None and version.served and resource.lower() in (definition.plural, definition.singular):
                        yield definition, version


def _checked(found: Mapping[GroupVersionKind, tuple[ResourceDefinition, Version]]) -> list[CheckedType]:
    return [_type(kind, *found[kind]) for kind in sorted(found)]


def _type(kind: GroupVersionKind, definition: ResourceDefinition, version: Version) -> CheckedType:
    declarations = Declarations(f"{kind.kind}{kind.version}{abs(hash(kind)) % 10_000}")
    schema = version.schema
    if definition.custom:
        # Published schemas of custom types have the whole metadata.
        schema = replace(
            schema,
            type="object",
            properties={**schema.properties, "apiVersion": _TEXT, "kind": _TEXT, "metadata": OBJECT_META.schema},
            compiled=None,
        )
    return CheckedType(kind, declarations.of(schema, is_root=True), declarations.structs)
