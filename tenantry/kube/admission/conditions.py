"""Match conditions of webhooks and policies (k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tenantry.kube.admission.evaluation import (
    CONDITIONS_LIMIT,
    Activation,
    Allowance,
    EvaluationError,
    Inputs,
    OutOfBudget,
)
from tenantry.kube.schema.cel_expression import Expression


class Condition(NamedTuple):
    name: str
    program: Expression


class Matched(NamedTuple):
    """Whether a write meets all conditions. `error` has the text of what failed: the failure policy decides what follows."""

    matches: bool
    error: str = ""


def match(conditions: Sequence[Condition], inputs: Inputs, allowance: Allowance, variables: Mapping[str, Expression]) -> Matched:
    """A condition that is false decides, whatever others do. The namespace is not known to conditions."""
    activation = Activation(inputs, variables, allowance, CONDITIONS_LIMIT, with_namespace=False)
    results: list[bool] = []
    errors: list[str] = []
    for condition in conditions:
        try:
            results.append(activation.run(condition.program) is not False)
        except EvaluationError as error:
            errors.append(str(error))
        except OutOfBudget as error:
            return Matched(False, str(error))
    if not all(results):
        return Matched(False)
    return Matched(not errors, _joined(errors))


def _joined(errors: Sequence[str]) -> str:
    """Errors as Go's aggregate prints them: each text once."""
    texts = [*dict.fromkeys(errors)]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""
