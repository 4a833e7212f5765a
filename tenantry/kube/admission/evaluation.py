"""Evaluates expressions of admission within a budget, on the values of one write.

What a policy may cost is Kubernetes' own (k8s.io/apiserver/pkg/apis/cel). On the event loop all policies of a write have a small
allowance together; where it is spent, the same evaluation is made in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tenantry.base.pauses import pause
from tenantry.kube.admission.environment import VARIABLES
from tenantry.kube.go_text import quote
from tenantry.kube.schema.cel import CALL_LIMIT, LoopBudgetExceeded
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_expression import Expression
from tenantry.kube.schema.cel_library.authorizer import Answer, Answers, Question, authorizer, resource_check
from tenantry.kube.schema.cel_values import Cost, CostExceeded, LazyFields

POLICY_LIMIT = 10_000_000
"""What the expressions of a policy may cost for one binding and parameter (RuntimeCELCostBudget)."""
CONDITIONS_LIMIT = 2_500_000
"""The same for all conditions of a policy or a webhook (RuntimeCELCostBudgetMatchConditions)."""
WRITE_LIMIT = 20_000_000
"""What all policies may cost for one write, 9 s of a thread; and the same again of work that cel-go does not charge. Kubernetes
has no such limit."""
CHECK_ON_LOOP = 1_000
"""What an authorization check takes of the allowance: about 0.1 ms."""
AT_ONCE_LIMIT = 5_000
"""What all policies may cost for one write on the event loop: about 2 ms."""
_COMPILED_AT_ONCE = 300
"""So many characters of expressions may be compiled on the event loop for one write."""
_COMPILE_COST = 25
"""What it takes of the allowance to compile a character elsewhere: about 10 µs."""
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


def expression(text: str, *, patch_types: bool = False) -> Expression:
    """An expression over the variables of admission. `patch_types`: it is a mutation, which may construct objects and patches."""
    return Expression(text, VARIABLES, patch_types=patch_types)


class EvaluationError(Exception):
    """An expression that failed. The text is Kubernetes'."""


class OutOfBudget(Exception):
    """The budget of a policy is spent. The text is Kubernetes'."""

    def __init__(self) -> None:
        super().__init__(_SPENT)


class Unanswered(Exception):
    """An expression needs an answer of the authorizer, and is evaluated where that cannot be asked."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question


class KnownAnswers:
    """The answers that an evaluation in a thread may need. Raises Unanswered for others."""

    def __init__(self) -> None:
        self.known: dict[Question, Answer] = {}

    def answer(self, question: Question) -> Answer:
        known = self.known.get(question)
        if known is None:
            raise Unanswered(question)
        return known


class Allowance:
    """What the expressions of one write may still cost, all together: `left`, and `spare` of work that cel-go does not charge
    (`Cost`). `at_once`: on the event loop, where it is small, and LoopBudgetExceeded is raised when it is spent."""

    __slots__ = ("_later", "at_once", "characters", "left", "spare")

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self.left = self.spare = AT_ONCE_LIMIT if at_once else WRITE_LIMIT
        self.characters = _COMPILED_AT_ONCE
        self._later: Allowance | None = None

    @property
    def later(self) -> Allowance:
        """What the same expressions may still cost in a thread."""
        if self._later is None:
            self._later = Allowance(at_once=False)
        return self._later

    def spend(self, units: int) -> None:
        """Takes what other work costs. Raises LoopBudgetExceeded."""
        left = self.left - units
        self.left = left if left > 0 else 0
        if left <= 0 and self.at_once:
            raise LoopBudgetExceeded

    def prepare(self, program: Expression) -> None:
        """For an expression that has to be compiled first. Raises LoopBudgetExceeded where that takes too long here, and
        OutOfBudget."""
        if self.at_once:
            self.characters -= len(program.text)
            if self.characters < 0:
                raise LoopBudgetExceeded
            return
        cost = _COMPILE_COST * len(program.text)
        if cost > self.left:
            raise OutOfBudget
        self.left -= cost
        pause()


class _CheckedCost(Cost):
    """Counts authorization checks apart: `checks`."""

    __slots__ = ("checks",)

    def __init__(self, limit: int, spare: int) -> None:
        self.limit = self.left = limit
        self.spare = spare
        self.checks = 0

    def units(self) -> tuple[int, int]:
        """What the evaluation has taken of the allowance, and of the budget of its policy."""
        raise NotImplementedError


class _LoopCost(_CheckedCost):
    """On the event loop, authorization checks count as what they take there."""

    __slots__ = ()

    def fixed(self, units: int) -> None:
        self.checks += units
        # Whether this ends the expression is decided in the thread, where the whole cost is counted.
        if self.checks + self.spent > CALL_LIMIT:
            raise LoopBudgetExceeded
        self.left -= CHECK_ON_LOOP
        self.checks -= CHECK_ON_LOOP
        if self.left < 0:
            raise CostExceeded

    def units(self) -> tuple[int, int]:
        spent = self.limit - self.left
        return spent, spent + self.checks


class _ThreadCost(_CheckedCost):
    """In a thread, too, but there they count as what they are in Kubernetes. `checks`: what they take less than that."""

    __slots__ = ()

    def fixed(self, units: int) -> None:
        self.charge(units)
        self.checks += units - CHECK_ON_LOOP

    def units(self) -> tuple[int, int]:
        spent = self.limit - self.left
        return spent - self.checks, spent


class Inputs:
    """The values of one write, for one policy and parameter: JSON values, which are not changed. `namespace` is None where the
    object has none. `request` is an AdmissionRequest without the objects. Both may be functions that make them, which are called
    where an expression names them."""

    __slots__ = ("answers", "namespace", "object", "old_object", "params", "request")

    def __init__(
        self,
        *,
        object: Any,
        old_object: Any,
        request: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        params: Any,
        namespace: Any,
        answers: Answers,
    ) -> None:
        self.object = object
        self.old_object = old_object
        self.request = request
        self.params = params
        self.namespace = namespace
        self.answers = answers

    def made_request(self) -> Mapping[str, Any]:
        request = self.request
        return request() if callable(request) else request

    def made_namespace(self) -> Any:
        return self.namespace() if callable(self.namespace) else self.namespace

    def made_authorizer(self) -> Any:
        return authorizer(self.answers)

    def requested(self) -> Any:
        """The check of `authorizer.requestResource`."""
        request = self.made_request()
        resource = request["requestResource"]
        return resource_check(
            self.answers,
            group=resource["group"],
            resource=resource["resource"],
            subresource=request.get("requestSubResource", ""),
            namespace=request.get("namespace", ""),
            name=request.get("name", ""),
        )


_NAMESPACE, _VARIABLES = VARIABLES.index("namespaceObject"), VARIABLES.index("variables")
_MAKE: Mapping[int, Callable[[Inputs], Any]] = {
    VARIABLES.index("request"): Inputs.made_request,
    _NAMESPACE: Inputs.made_namespace,
    VARIABLES.index("authorizer"): Inputs.made_authorizer,
    VARIABLES.index("authorizer.requestResource"): Inputs.requested,
}
"""Values that are made for the first expression that may use the variable."""
_LATER: Final = object()
"""Stands for a value that is not made yet."""


class Activation:
    """Evaluates the expressions of a list with one budget, one after the other. The variables of the policy are evaluated once,
    where one of them is used."""

    __slots__ = ("_allowance", "_inputs", "_values", "_variables", "left")

    def __init__(
        self,
        inputs: Inputs,
        variables: Mapping[str, Expression],
        allowance: Allowance,
        budget: int,
        *,
        with_namespace: bool = True,
    ) -> None:
        self.left = budget
        self._allowance = allowance
        self._inputs = inputs
        self._variables = variables
        later = _LATER
        self._values = [inputs.object, inputs.old_object, later, inputs.params, later, later, later, later]
        if not with_namespace:
            self._values[_NAMESPACE] = None

    def run(self, program: Expression) -> Any:
        """The result. Raises EvaluationError, and OutOfBudget where no further expression may be evaluated."""
        try:
            result = self.value(program)
            if self.left < 0:
                raise OutOfBudget
            return result
        except CostExceeded:
            error: object = "operation cancelled: actual cost limit exceeded"
        except CelError as raised:
            if not program.compiles:
                raise EvaluationError(f"compilation error: compilation failed: {raised}") from None
            error = raised
        if self.left < 0:
            raise OutOfBudget
        raise EvaluationError(f"expression '{program.text}' resulted in error: {error}")

    def value(self, program: Expression) -> Any:
        """As `run`. Raises CelError, CostExceeded where the call costs more than one may, and OutOfBudget."""
        allowance = self._allowance
        found = program.known()
        if found is None:
            allowance.prepare(program)
            found = program.compile()
        if isinstance(found, str):
            raise CelError(found)
        values = self._values
        for place in program.named:
            if values[place] is _LATER:
                values[place] = _Composed(self, self._variables) if place == _VARIABLES else _MAKE[place](self._inputs)
        if self.left < 0:
            raise OutOfBudget
        at_once, left, spare = allowance.at_once, allowance.left, allowance.spare
        limit = self.left if self.left < left else left
        limit, spare = limit if limit < CALL_LIMIT else CALL_LIMIT, spare if spare < CALL_LIMIT else CALL_LIMIT
        cost: _CheckedCost = _LoopCost(limit, spare) if at_once else _ThreadCost(limit, spare)
        if not at_once:
            pause()
        try:
            return found.run(values, cost)
        except CostExceeded:
            if at_once and (limit == left or cost.spare < 0):
                raise LoopBudgetExceeded from None
            if limit < CALL_LIMIT or spare < CALL_LIMIT:
                raise OutOfBudget from None
            raise
        finally:
            # The expressions of variables that this one names have taken theirs meanwhile.
            taken, whole = cost.units()
            left = allowance.left - (taken if taken > 1 else 1)
            allowance.left = left if left > 0 else 0
            left = allowance.spare - (spare - cost.spare)
            allowance.spare = left if left > 0 else 0
            self.left -= whole


class _Composed(LazyFields):
    """`variables`: the expressions of a policy by their names."""

    __slots__ = ("_activation", "_known", "_programs")

    def __init__(self, activation: Activation, programs: Mapping[str, Expression]) -> None:
        self._activation = activation
        self._programs = programs
        self._known: dict[str, Any] = {}

    def field(self, name: str) -> Any:
        program = self._programs.get(name)
        if program is None:
            raise CelError(f"no such key: {name}")
        value = self._known.get(name, self)
        if value is self:
            value = self._known[name] = self._evaluate(name, program)
        if isinstance(value, CelError):
            raise CelError(str(value))
        return value

    def has(self, name: str) -> bool:
        if name not in self._programs:
            return False
        self.field(name)
        return True

    def _evaluate(self, name: str, program: Expression) -> Any:
        try:
            return self._activation.value(program)
        except CostExceeded:
            why = "operation cancelled: actual cost limit exceeded"
        except CelError as error:
            if not program.compiles:
                return CelError(f"composited variable {quote(name)} fails to compile: compilation failed: {error}")
            why = str(error)
        return CelError(f"composited variable {quote(name)} fails to evaluate: {why}")
