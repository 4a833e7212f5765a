"""What a ValidatingAdmissionPolicy decides, with Kubernetes' texts and budgets."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.admission import evaluation
from tenantry.kube.admission.conditions import Condition, match
from tenantry.kube.admission.environment import BOOLEAN, TEXT_OR_NULL, CompilationError, Environment
from tenantry.kube.admission.evaluation import Allowance, Inputs, KnownAnswers, Unanswered, expression
from tenantry.kube.admission.validating import Result, policy_of, validate
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.cel_library.authorizer import Answer, Question

OBJECT = {"metadata": {"name": "a", "labels": {"x": "1"}}, "data": {"k": "v"}, "spec": {"replicas": 3}}
REQUEST: dict[str, Any] = {
    "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
    "resource": {"group": "", "version": "v1", "resource": "configmaps"},
    "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
    "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
    "name": "a",
    "namespace": "ns",
    "operation": "CREATE",
    "userInfo": {"username": "alice", "groups": ["g"]},
    "dryRun": False,
}


class Asked:
    def __init__(self, *allowed: Question) -> None:
        self.allowed = set(allowed)
        self.questions: list[Question] = []

    def answer(self, question: Question) -> Answer:
        self.questions.append(question)
        return Answer(question in self.allowed, "because")


def inputs(obj: Any = OBJECT, **others: Any) -> Inputs:
    given: dict[str, Any] = {"old_object": None, "params": None, "namespace": None, "answers": KnownAnswers()} | others
    return Inputs(object=obj, request=REQUEST, **given)


def decide(*validations: dict[str, Any] | str, at_once: bool = False, given: Inputs | None = None, **spec: Any) -> Result:
    listed = [each if isinstance(each, dict) else {"expression": each} for each in validations]
    return validate(policy_of({"validations": listed} | spec), given or inputs(), Allowance(at_once=at_once))


def messages(result: Result) -> list[str]:
    return [each.message for each in result.decisions]


def test_admits_and_denies_with_its_message_or_the_expression() -> None:
    result = decide(
        "object.metadata.name == 'a'",
        " object.spec.replicas > 3 ",
        {"expression": "false", "message": " text "},
        {"expression": "false", "messageExpression": "'name ' + object.metadata.name", "reason": "Forbidden"},
    )
    assert [each.denies for each in result.decisions] == [False, True, True, True]
    assert messages(result) == ["", "failed expression: object.spec.replicas > 3", "text", "name a"]
    assert [each.reason for each in result.decisions] == ["", "Invalid", "Invalid", "Forbidden"]


@pytest.mark.parametrize(
    "made", ["'a\\nb'", "' '", "object.missing", "dyn(1)", "'x' * 2", "object.metadata.name.replace('a', 'é').substring(0, 9)"]
)
def test_a_message_that_cannot_be_shown_is_left_out(made: str) -> None:
    assert messages(decide({"expression": "false", "messageExpression": made, "message": "m"})) == ["m"]


def test_work_that_kubernetes_does_not_charge_is_bounded_for_all_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    made = inputs({"items": [*range(2_000)]})
    written = "'%s'.format([object.items]).size() > 0"
    assert [each.denies for each in decide(*[written] * 5, given=made).decisions] == [False] * 5
    monkeypatch.setattr(evaluation, "WRITE_LIMIT", 100_000)
    [decision] = decide(*[written] * 100, given=made).decisions
    assert decision.denies and "running out of cost budget" in decision.message
    with pytest.raises(LoopBudgetExceeded):
        decide(written, given=made, at_once=True)


def test_compiling_takes_of_what_a_write_may_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "WRITE_LIMIT", 20_000)
    new = [f"object.metadata.name != 'compiled-{number}-{'x' * 100}'" for number in range(10)]
    [decision] = decide(*new).decisions
    assert decision.denies and "running out of cost budget" in decision.message
    for text in new:
        expression(text).compile()
    assert [each.denies for each in decide(*new).decisions] == [False] * 10


def test_checks_take_little_of_what_a_write_may_cost() -> None:
    asked = Asked()
    check = "!authorizer.group('').resource('secrets').check('get').allowed()"
    allowance = Allowance(at_once=False)
    for _ in range(100):
        assert (
            not validate(policy_of({"validations": [{"expression": check}] * 2}), inputs(answers=asked), allowance)
            .decisions[1]
            .denies
        )
    # In Kubernetes, each of them costs 350,000 of the 10,000,000 of its policy.
    [decision] = validate(policy_of({"validations": [{"expression": check}] * 30}), inputs(answers=asked), allowance).decisions
    assert decision.denies and "running out of cost budget" in decision.message


def test_errors_follow_the_failure_policy() -> None:
    result = decide("object.data.missing == 'x'")
    assert messages(result) == ["expression 'object.data.missing == 'x'' resulted in error: no such key: missing"]
    assert result.decisions[0].denies and result.decisions[0].evaluation == "error"
    assert not decide("object.data.missing == 'x'", failurePolicy="Ignore").decisions[0].denies


def test_conditions_decide_whether_a_policy_applies() -> None:
    never = {"name": "no", "expression": "false"}
    broken = {"name": "broken", "expression": "object.zzz == 1"}
    assert decide("false", matchConditions=[broken, never]).decisions == ()
    assert messages(decide("false", matchConditions=[broken, broken])) == [
        "expression 'object.zzz == 1' resulted in error: no such key: zzz"
    ]
    assert decide("false", matchConditions=[broken], failurePolicy="Ignore").decisions == ()
    assert match(
        [Condition("n", expression("namespaceObject == null"))], inputs(namespace={"metadata": {}}), Allowance(at_once=False), {}
    ).matches


def test_variables_are_evaluated_once_and_only_where_they_are_used() -> None:
    variables = [
        {"name": "size", "expression": "object.data.size()"},
        {"name": "twice", "expression": "variables.size * 2"},
        {"name": "broken", "expression": "object.nothing"},
    ]
    result = decide("variables.twice == 2", "variables.broken == 1", "has(variables.size)", variables=variables)
    assert messages(result) == [
        "",
        "expression 'variables.broken == 1' resulted in error: "
        'composited variable "broken" fails to evaluate: no such key: nothing',
        "",
    ]


def test_the_authorizer_is_asked_what_the_expression_says() -> None:
    secrets = Question(group="", resource="secrets", namespace="ns", name="s", verb="get")
    asked = Asked(secrets, Question(path="/healthz", verb="get"))
    result = decide(
        "authorizer.group('').resource('secrets').namespace('ns').name('s').check('get').allowed()",
        "authorizer.path('/healthz').check('get').allowed()",
        "!authorizer.requestResource.check('delete').allowed() "
        "&& authorizer.requestResource.check('delete').reason() == 'because'",
        "!authorizer.serviceAccount('ns', 'default').requestResource.check('x').errored()",
        "authorizer.group('').resource(' ').check('get').allowed()",
        "authorizer.serviceAccount('N', 'default').path('/x').check('get').allowed()",
        given=inputs(answers=asked),
    )
    assert messages(result) == [
        "",
        "",
        "",
        "expression '!authorizer.serviceAccount('ns', 'default').requestResource.check('x').errored()' resulted in error: "
        "no such key: requestResource",
        "expression 'authorizer.group('').resource(' ').check('get').allowed()' resulted in error: resource must not be empty",
        "expression 'authorizer.serviceAccount('N', 'default').path('/x').check('get').allowed()' resulted in error: "
        "Invalid service account namespace",
    ]
    of_request = Question(group="", resource="configmaps", namespace="ns", name="a", verb="delete")
    assert asked.questions == [secrets, Question(path="/healthz", verb="get"), of_request, of_request]


def test_an_expression_can_pay_for_two_checks() -> None:
    check = "authorizer.path('/a').check('get').allowed()"
    asked = inputs(answers=Asked())
    assert messages(decide(f"!{check} && !{check}", given=asked)) == [""]
    [text] = messages(decide(f"!{check} && !{check} && !{check}", given=asked))
    assert text.endswith("resulted in error: operation cancelled: actual cost limit exceeded")


def test_on_the_event_loop_checks_are_cheap_and_long_work_is_refused() -> None:
    check = "authorizer.path('/a').check('get').allowed()"
    assert messages(decide(f"!{check} && !{check}", given=inputs(answers=Asked()), at_once=True)) == [""]
    many = inputs({"items": [*range(200)]})
    heavy = "object.items.all(a, object.items.all(b, a + b >= 0))"
    assert messages(decide(heavy, given=many)) == [""]
    with pytest.raises(LoopBudgetExceeded):
        decide(heavy, given=many, at_once=True)
    with pytest.raises(LoopBudgetExceeded):
        decide("true || '" + "x" * 3000 + "' == ''", at_once=True)
    with pytest.raises(Unanswered):
        decide(check)


def test_budgets_end_all_expressions() -> None:
    many = inputs({"items": [*range(800)]})
    heavy = "object.items.all(a, object.items.all(b, a + b >= 0))"
    one = decide(heavy, given=many)
    assert messages(one)[0].endswith("resulted in error: operation cancelled: actual cost limit exceeded")
    spent = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert messages(decide(*[heavy] * 12, given=many)) == [spent]
    assert messages(decide("true", given=many, matchConditions=[{"name": "a", "expression": heavy}] * 4)) == [spent]


def test_audit_annotations() -> None:
    given = [
        {"key": "a", "valueExpression": "' ' + object.metadata.name"},
        {"key": "b", "valueExpression": "null"},
        {"key": "c", "valueExpression": "''"},
        {"key": "d", "valueExpression": "object.missing"},
        {"key": "e", "valueExpression": "dyn(3)"},
    ]
    found = [(each.key, each.value, each.error) for each in decide(auditAnnotations=given).annotations]
    assert found == [
        ("a", "a", ""),
        ("d", "", "expression 'object.missing' resulted in error: no such key: missing"),
        (
            "e",
            "",
            "valueExpression 'dyn(3)' resulted in unsupported return type: int. Return type must be either string or null.",
        ),
    ]
    assert len(decide(auditAnnotations=given, failurePolicy="Ignore").annotations) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("object.metadata.name", "must evaluate to bool but got dyn"),
        ("1", "must evaluate to bool but got int"),
        ("[1]", "must evaluate to bool but got list(int)"),
        ("timestamp('2020-01-01T00:00:00Z')", "must evaluate to bool but got google.protobuf.Timestamp"),
        ("authorizer", "must evaluate to bool but got kubernetes.authorization.Authorizer"),
        ("null", "must evaluate to bool but got null_type"),
    ],
)
def test_the_type_of_a_result(text: str, problem: str) -> None:
    with pytest.raises(CompilationError) as raised:
        Environment().require(text, BOOLEAN)
    assert str(raised.value) == problem


def test_the_type_of_an_annotation() -> None:
    environment = Environment()
    environment.require("'a'", TEXT_OR_NULL)
    environment.require("null", TEXT_OR_NULL)
    with pytest.raises(CompilationError, match=r"^must evaluate to one of \[string null_type\] but got dyn$"):
        environment.require("object.a", TEXT_OR_NULL)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("request.object == null", "undefined field 'object'"),
        ("params.a == 1", "undeclared reference to 'params'"),
        ("variables.a == 1", "undeclared reference to 'variables'"),
        ("namespaceObject.metadata.uid == ''", "undefined field 'uid'"),
        (
            "authorizer.check('x').allowed()",
            "found no matching overload for 'check' applied to 'kubernetes.authorization.Authorizer.(string)'",
        ),
        ("request.operation == 1", "found no matching overload for '_==_' applied to '(string, int)'"),
    ],
)
def test_what_does_not_compile(text: str, part: str) -> None:
    with pytest.raises(CompilationError) as raised:
        Environment().require(text, BOOLEAN)
    assert str(raised.value).startswith("compilation failed: ERROR: <input>:1:") and part in str(raised.value)


def test_variables_have_the_types_of_their_expressions() -> None:
    environment = Environment(composes=True)
    environment.add_variable("names", "['a']")
    environment.add_variable("user", "request.userInfo")
    with pytest.raises(CompilationError):
        environment.add_variable("broken", "zzz")
    environment.require("variables.names[0] == 'a' && variables.user.anything == 1 && variables.broken == 1", BOOLEAN)
    with pytest.raises(CompilationError, match="undefined field 'other'"):
        environment.require("variables.other == 1", BOOLEAN)
    with pytest.raises(CompilationError, match=r"\(string, int\)"):
        environment.require("variables.names[0] == 1", BOOLEAN)


def test_messages_may_not_ask_the_authorizer() -> None:
    with pytest.raises(CompilationError, match="undeclared reference to 'authorizer'"):
        Environment().require("authorizer.path('/').check('get').reason()", authorizer=False)


def test_a_variable_does_not_know_itself() -> None:
    environment = Environment(composes=True)
    with pytest.raises(CompilationError, match="undefined field 'a'"):
        environment.add_variable("a", "variables.a")


def test_functions_of_patches_are_none_of_validations() -> None:
    with pytest.raises(CompilationError) as raised:
        Environment().require("jsonpatch.escapeKey('a') == 'a'", BOOLEAN)
    assert "1:1: undeclared reference to 'jsonpatch'" in str(raised.value)
    assert "1:20: undeclared reference to 'escapeKey'" in str(raised.value)


def test_variables_can_be_found_by_their_names() -> None:
    assert messages(decide("dyn(variables)['a'] == 1", variables=[{"name": "a", "expression": "1"}])) == [""]


@pytest.mark.parametrize("value", ["authorizer", "authorizer.path('/x')", "authorizer.group('')", "authorizer.requestResource"])
def test_the_authorizer_has_no_equality(value: str) -> None:
    assert messages(decide(f"{value} == {value}")) == [f"expression '{value} == {value}' resulted in error: no such overload"]
