"""What a ValidatingAdmissionPolicy decides about a write (k8s.io/apiserver/pkg/admission/plugin/policy/validating)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

from tenantry.kube.admission.conditions import Condition, match
from tenantry.kube.admission.evaluation import (
    POLICY_LIMIT,
    Activation,
    Allowance,
    EvaluationError,
    Inputs,
    OutOfBudget,
    expression,
)
from tenantry.kube.schema.cel_expression import Expression
from tenantry.kube.schema.cel_values import type_name

ADMIT, DENY, ERROR = "admit", "deny", "error"
_MESSAGE_BYTES_MAX = 5 * 1024
ANNOTATION_BYTES_MAX = 10 * 1024


class Validation(NamedTuple):
    program: Expression
    message: str
    message_program: Expression | None
    reason: str


class Annotation(NamedTuple):
    key: str
    program: Expression


@dataclass(frozen=True, slots=True, eq=False)
class ValidatingPolicy:
    """The expressions of a policy. They are compiled when they are first evaluated."""

    ignores_failures: bool
    conditions: tuple[Condition, ...]
    variables: Mapping[str, Expression]
    validations: tuple[Validation, ...]
    annotations: tuple[Annotation, ...]
    has_messages: bool
    admits: Result
    """What it decides where all validations hold, and there is nothing else to evaluate."""


class Decision(NamedTuple):
    """What one validation decides. `evaluation` is admit, deny or error, and `denies` whether the write is refused for it."""

    evaluation: str
    denies: bool
    message: str = ""
    reason: str = ""
    seconds: float = 0.0


_ADMITTED = Decision(ADMIT, False)


class Published(NamedTuple):
    """An audit annotation. `error` is not empty where it could not be made, and the write is refused for it."""

    key: str
    value: str = ""
    error: str = ""
    seconds: float = 0.0


class Result(NamedTuple):
    """The decisions in the order of the validations; none where the conditions are not met."""

    decisions: tuple[Decision, ...] = ()
    annotations: tuple[Published, ...] = ()


def policy_of(spec: Mapping[str, Any]) -> ValidatingPolicy:
    """The policy of a spec that is valid."""
    validations = tuple(
        Validation(
            expression(each["expression"]),
            each.get("message") or "",
            expression(each["messageExpression"]) if each.get("messageExpression") else None,
            each.get("reason") or "",
        )
        for each in spec.get("validations") or ()
    )
    return ValidatingPolicy(
        ignores_failures=spec.get("failurePolicy") == "Ignore",
        conditions=tuple(Condition(each["name"], expression(each["expression"])) for each in spec.get("matchConditions") or ()),
        variables={each["name"]: expression(each["expression"]) for each in spec.get("variables") or ()},
        validations=validations,
        annotations=tuple(
            Annotation(each["key"], expression(each["valueExpression"])) for each in spec.get("auditAnnotations") or ()
        ),
        has_messages=any(each.message_program is not None for each in validations),
        admits=Result((_ADMITTED,) * len(validations)),
    )


def validate(policy: ValidatingPolicy, inputs: Inputs, allowance: Allowance) -> Result:
    """What a policy decides, for one binding and parameter. Raises LoopBudgetExceeded and Unanswered (`evaluation`)."""

    def failed(why: object, seconds: float = 0.0) -> Decision:
        return Decision(ERROR, not policy.ignores_failures, str(why), "", seconds)

    if policy.conditions:
        matched = match(policy.conditions, inputs, allowance, policy.variables)
        if matched.error:
            # With failurePolicy Ignore, a policy whose conditions fail does not match.
            return Result() if policy.ignores_failures else Result((failed(matched.error),))
        if not matched.matches:
            return Result()
    activation = Activation(inputs, policy.variables, allowance, POLICY_LIMIT)
    outcomes: list[tuple[Any, float]] = []
    holds = True
    try:
        began = perf_counter()
        for validation in policy.validations:
            outcome = _outcome(activation, validation.program)
            ended = perf_counter()
            outcomes.append((outcome, ended - began))
            holds = holds and outcome is True
            began = ended
    except OutOfBudget as spent:
        return Result((failed(spent),))
    if holds and not policy.has_messages and not policy.annotations:
        return policy.admits
    decisions = _decisions(policy, outcomes, _messages(policy, inputs, allowance, activation.left), failed)
    try:
        annotations = _annotations(policy, inputs, allowance) if policy.annotations else ()
    except OutOfBudget as spent:
        return Result((failed(spent),))
    return Result(decisions, annotations)


def _outcome(activation: Activation, program: Expression) -> Any:
    """The result of an expression, or its EvaluationError."""
    try:
        return activation.run(program)
    except EvaluationError as error:
        return error.with_traceback(None)


def _messages(policy: ValidatingPolicy, inputs: Inputs, allowance: Allowance, budget: int) -> list[Any] | OutOfBudget:
    """The results of all messageExpressions, whichever validations fail: None for others. What they cost is left over by the
    validations."""
    if not policy.has_messages:
        return []
    activation = Activation(inputs, policy.variables, allowance, budget)
    try:
        return [
            None if validation.message_program is None else _outcome(activation, validation.message_program)
            for validation in policy.validations
        ]
    except OutOfBudget as spent:
        return spent


def _decisions(
    policy: ValidatingPolicy,
    outcomes: list[tuple[Any, float]],
    messages: list[Any] | OutOfBudget,
    failed: Callable[[object, float], Decision],
) -> tuple[Decision, ...]:
    decisions: list[Decision] = []
    for place, (validation, (outcome, seconds)) in enumerate(zip(policy.validations, outcomes, strict=True)):
        if isinstance(outcome, EvaluationError):
            decisions.append(failed(outcome, seconds))
        elif isinstance(messages, OutOfBudget):
            decisions.append(failed(f"failed messageExpression: {messages}", seconds))
        elif outcome is True:
            decisions.append(_ADMITTED)
        else:
            made = _shown(messages[place]) if messages else ""
            message = made or validation.message.strip() or f"failed expression: {validation.program.text.strip()}"
            decisions.append(Decision(DENY, True, message, validation.reason or "Invalid", seconds))
    return tuple(decisions)


def _shown(made: Any) -> str:
    """The result of a messageExpression, where it is a text of one line that is not too long; else an empty text."""
    if not isinstance(made, str):
        return ""
    message = made.strip()
    if "\n" in message or len(message) > _MESSAGE_BYTES_MAX or len(message.encode(errors="surrogatepass")) > _MESSAGE_BYTES_MAX:
        return ""
    return message


def _annotations(policy: ValidatingPolicy, inputs: Inputs, allowance: Allowance) -> tuple[Published, ...]:
    """The annotations that are published or fail. Raises OutOfBudget."""
    activation = Activation(inputs, policy.variables, allowance, POLICY_LIMIT)
    made: list[Published] = []
    for annotation in policy.annotations:
        began = perf_counter()
        outcome = _outcome(activation, annotation.program)
        seconds = perf_counter() - began
        if isinstance(outcome, EvaluationError):
            if not policy.ignores_failures:
                made.append(Published(annotation.key, "", str(outcome), seconds))
        elif isinstance(outcome, str):
            value = outcome.strip()
            if value:
                made.append(Published(annotation.key, value, "", seconds))
        elif outcome is not None:
            why = f"valueExpression '{annotation.program.text}' resulted in unsupported return type: {type_name(outcome)}. "
            made.append(Published(annotation.key, "", why + "Return type must be either string or null.", seconds))
    return tuple(made)
