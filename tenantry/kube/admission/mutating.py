"""What a MutatingAdmissionPolicy makes of an object (k8s.io/apiserver/pkg/admission/plugin/policy/mutating).

A mutation gives an apply configuration, which is merged as server-side apply merges, or the operations of a JSON patch. Neither
says who owns what it sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from tenantry.kube.admission.conditions import Condition, Matched, match
from tenantry.kube.admission.evaluation import (
    POLICY_LIMIT,
    Activation,
    Allowance,
    EvaluationError,
    Inputs,
    OutOfBudget,
    expression,
)
from tenantry.kube.admission.mutation_values import Converter, Growth, MutationTooLarge, NotConvertible, own_copy
from tenantry.kube.apply.merge import merge
from tenantry.kube.apply.typed import ABSENT, Node, TypedError
from tenantry.kube.apply.typed_validation import error_text, validate
from tenantry.kube.objects import Object
from tenantry.kube.patch.json_patch import OperationFailed, apply_operations
from tenantry.kube.schema.cel_expression import Expression
from tenantry.kube.schema.cel_objects import Constructed, type_mismatches
from tenantry.kube.status import CAUSES_MAX

APPLY, JSON_PATCH = "ApplyConfiguration", "JSONPatch"
ErrorType = Literal["no_error", "compile_error", "invalid_error", "out_of_budget"]


class MutationFailed(Exception):
    """A mutation that fails. The policy's failurePolicy decides what follows. The text is Kubernetes'."""

    def __init__(self, text: str, error_type: ErrorType = "invalid_error") -> None:
        super().__init__(text)
        self.error_type = error_type


class Form(Protocol):
    """How objects of a type are read and completed."""

    @property
    def node(self) -> Node:
        """The type as server-side apply sees it."""
        ...

    @property
    def is_typed(self) -> bool:
        """Whether every object that was decoded matches the type."""
        ...

    def merged(self, obj: Object) -> Object:
        """Completes a merged object with its defaults; it may be changed. Raises MutationFailed for a value that is none of the
        type."""
        ...

    def patched(self, document: Any) -> Object:
        """The object of a patched document, with its defaults. Raises StatusError."""
        ...


class Mutation(NamedTuple):
    """`kind` is ApplyConfiguration or JSONPatch."""

    kind: str
    program: Expression


@dataclass(frozen=True, slots=True, eq=False)
class MutatingPolicy:
    """The expressions of a policy. They are compiled when they are first evaluated. `reinvoked`: it is called again where others
    have changed the object after it (reinvocationPolicy IfNeeded)."""

    ignores_failures: bool
    reinvoked: bool
    conditions: tuple[Condition, ...]
    variables: Mapping[str, Expression]
    mutations: tuple[Mutation, ...]


class Attempt(NamedTuple):
    """One mutation of a policy: how long it took, and why it failed."""

    seconds: float
    error_type: ErrorType = "no_error"
    error: str = ""


class Mutated(NamedTuple):
    """What a policy has made of an object. `attempts`: its mutations, none where its conditions are not met. `error`: they
    failed."""

    object: Object
    attempts: tuple[Attempt, ...] = ()
    error: str = ""


def policy_of(spec: Mapping[str, Any]) -> MutatingPolicy:
    """The policy of a spec that is valid."""
    return MutatingPolicy(
        ignores_failures=spec.get("failurePolicy") == "Ignore",
        reinvoked=spec.get("reinvocationPolicy") == "IfNeeded",
        conditions=tuple(Condition(each["name"], expression(each["expression"])) for each in spec.get("matchConditions") or ()),
        variables={each["name"]: expression(each["expression"]) for each in spec.get("variables") or ()},
        mutations=tuple(_mutations(spec)),
    )


def _mutations(spec: Mapping[str, Any]) -> Iterator[Mutation]:
    for each in spec.get("mutations") or ():
        kind = each.get("patchType")
        source = each.get("applyConfiguration" if kind == APPLY else "jsonPatch")
        if source is not None:
            yield Mutation(kind, expression(source["expression"], patch_types=True))


def mutate(policy: MutatingPolicy, obj: Object, form: Form, inputs: Inputs, allowance: Allowance, growth: Growth) -> Mutated:
    """The object after all mutations of a policy, for one binding and parameter. The given one is not changed. A mutation that
    fails changes nothing, and the next ones are made nevertheless.

    `inputs.object` is replaced by each object that is made. Raises LoopBudgetExceeded and Unanswered (`evaluation`), and
    StatusError where a patched object cannot be read.
    """
    if policy.conditions:
        inputs.object = obj
        matched: Matched = match(policy.conditions, inputs, allowance, policy.variables)
        if matched.error:
            return Mutated(obj, error=matched.error)
        if not matched.matches:
            return Mutated(obj)
    attempts: list[Attempt] = []
    for mutation in policy.mutations:
        began = perf_counter()
        inputs.object = obj
        try:
            obj = _mutate(mutation, policy, obj, form, inputs, allowance, growth)
        except MutationFailed as failed:
            attempts.append(Attempt(perf_counter() - began, failed.error_type, str(failed)))
        else:
            attempts.append(Attempt(perf_counter() - began))
    return Mutated(obj, tuple(attempts))


def _mutate(
    mutation: Mutation,
    policy: MutatingPolicy,
    obj: Object,
    form: Form,
    inputs: Inputs,
    allowance: Allowance,
    growth: Growth,
) -> Object:
    result = _evaluated(mutation.program, policy, inputs, allowance)
    given = (inputs.object, inputs.old_object, inputs.params, inputs.request, inputs.namespace)
    converter = Converter(given, growth)
    try:
        if mutation.kind == APPLY:
            return form.merged(_applied(result, obj, form, converter))
        document = _patched(result, obj, converter)
    except MutationTooLarge as error:
        raise MutationFailed(str(error), "out_of_budget") from None
    return obj if document is ABSENT else form.patched(document)


def _evaluated(program: Expression, policy: MutatingPolicy, inputs: Inputs, allowance: Allowance) -> Any:
    try:
        return Activation(inputs, policy.variables, allowance, POLICY_LIMIT).run(program)
    except OutOfBudget as error:
        raise MutationFailed(str(error), "out_of_budget") from None
    except EvaluationError as error:
        raise MutationFailed(str(error), "invalid_error" if program.compiles else "compile_error") from None


def _applied(result: Any, obj: Object, form: Form, converter: Converter) -> Object:
    node = form.node
    if not isinstance(result, Constructed):
        raise MutationFailed("unsupported return type from ApplyConfiguration expression")
    _check_names(result, converter)
    try:
        config = converter.configuration(result)
    except NotConvertible:
        raise MutationFailed("invalid return type: *dynamic.ObjectVal") from None
    config |= {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    if errors := validate(node, config, all_unknown=False):
        raise MutationFailed(f"error applying patch: failed to convert patch object to typed object: {error_text(errors)}")
    if atomic := _atomic_parts(node, config, ""):
        what = f"may not mutate atomic arrays, maps or structs: {', '.join(atomic[:CAUSES_MAX])}"
        raise MutationFailed(f"error applying patch: invalid ApplyConfiguration: {what}")
    if not form.is_typed and (errors := validate(node, obj, repeats=True, all_unknown=False)):
        raise MutationFailed(f"error applying patch: failed to convert original object to typed object: {error_text(errors)}")
    try:
        merged = merge(node, obj, config)
    except TypedError as error:
        raise MutationFailed(f"error applying patch: failed to merge patch: {error}") from None
    # The merge shares the parts that it did not touch.
    made: Object = own_copy(merged)
    return made


def _atomic_parts(node: Node, value: Any, path: str) -> list[str]:
    """The paths of all atomic lists and maps in a configuration: setting one would remove what it does not name. Parts that the
    type does not declare are not looked at."""
    found: list[str] = []
    if isinstance(value, dict) and node.map is not None:
        if node.map.atomic:
            found.append(path)
        for name, item in value.items():
            below = node.map.fields.get(name)
            if below is not None:
                found += _atomic_parts(below, item, f"{path}.{name}")
    elif isinstance(value, list) and node.list is not None:
        if node.list.kind == "atomic":
            found.append(path)
        for place, item in enumerate(value):
            found += _atomic_parts(node.list.element, item, f"{path}[{place}]")
    return found


def _patched(result: Any, obj: Object, converter: Converter) -> Any:
    """The patched document. ABSENT where a test fails: then nothing is changed."""
    if not isinstance(result, list) or not all(isinstance(each, Constructed) for each in result):
        raise MutationFailed("type mismatch: JSONPatchType.expression should evaluate to array")
    operations = []
    for each in result:
        value = each.fields.get("value")
        if isinstance(value, Constructed) and value.type_name.startswith("Object"):
            _check_names(value, converter)
        try:
            operations.append(converter.operation(each))
        except NotConvertible as error:
            what = "JSONPath valueExpression evaluated to a type that could not marshal to JSON"
            raise MutationFailed(f"{what}: {error}") from None
    try:
        document = apply_operations(obj, operations)
    except OperationFailed as failure:
        if failure.is_test:
            return ABSENT
        raise MutationFailed(f"JSON Patch: {failure}") from None
    if any(operation["op"] == "copy" for operation in operations):
        converter.growth.add(max(0, len(orjson.dumps(document)) - len(orjson.dumps(obj))))
    return document


def _check_names(value: Constructed, converter: Converter) -> None:
    if wrong := type_mismatches(value, converter.growth.look):
        raise MutationFailed("type mismatch: " + "\n".join(wrong[:CAUSES_MAX]))
