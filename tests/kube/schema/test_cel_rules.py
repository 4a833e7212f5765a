"""x-kubernetes-validations: when they run, what they say, what a definition may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.schema import cel
from tenantry.kube.schema.cel_check import check as check_types
from tenantry.kube.schema.cel_definition import rule_errors
from tenantry.kube.schema.cel_types import BOOL, DYN
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.validate import ABSENT, validate
from tenantry.kube.types.custom_resource_definition import DEFINITION
from tests.kube.definitions import I, N, S, obj_schema


def rules(*wanted: Any) -> dict[str, Any]:
    return {"x-kubernetes-validations": [r if isinstance(r, dict) else {"rule": r} for r in wanted]}


def check(schema: Any, value: Any, old: Any = ABSENT) -> list[str]:
    return [e.message for e in validate(value, from_openapi(schema), old=old)]


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (I | rules({"rule": "self < 10", "message": "n must be small"}), 10, "f: Invalid value: 10: n must be small"),
        (I | rules("self % 2 == 0"), 3, "f: Invalid value: 3: failed rule: self % 2 == 0"),
        (I | rules({"rule": "self > 0", "messageExpression": "'got %d'.format([self])"}), 0, "f: Invalid value: 0: got 0"),
        (
            I | rules({"rule": "self > 0", "messageExpression": "string(1 / self)", "message": "fallback"}),
            0,
            "f: Invalid value: 0: fallback",
        ),
        (S | rules({"rule": "self != 'bad'", "reason": "FieldValueForbidden", "message": "no"}), "bad", "f: Forbidden: no"),
        (S | rules({"rule": "self != 'bad'", "reason": "FieldValueDuplicate"}), "bad", 'f: Duplicate value: "bad"'),
        (S | rules({"rule": "self != ''", "reason": "FieldValueRequired"}), "", "f: Required value: failed rule: self != ''"),
        (I | rules("10 / self > 1"), 0, 'f: Invalid value: "integer": division by zero evaluating rule: 10 / self > 1'),
        (
            obj_schema(lo=I) | rules({"rule": "self.lo < 1", "message": "m", "fieldPath": ".lo"}),
            {"lo": 2},
            "f.lo: Invalid value: m",
        ),
        (N | rules("self * 2.0 < 3.0"), 2, "f: Invalid value: 2: failed rule: self * 2.0 < 3.0"),
        (
            obj_schema(**{"a-b": S}) | rules("self.a__dash__b == 'x'"),
            {"a-b": "y"},
            "f: Invalid value: failed rule: self.a__dash__b == 'x'",
        ),
        (
            S | {"format": "date-time"} | rules("self > timestamp('2021-01-01T00:00:00Z')"),
            "2020-01-01T00:00:00Z",
            "f: Invalid value: \"2020-01-01T00:00:00Z\": failed rule: self > timestamp('2021-01-01T00:00:00Z')",
        ),
        (
            S | {"format": "duration"} | rules("self < duration('1h')"),
            "2h",
            "f: Invalid value: \"2h\": failed rule: self < duration('1h')",
        ),
    ],
)
def test_failures(schema: Any, value: Any, message: str) -> None:
    assert check(obj_schema(f=schema), {"f": value}) == [message]


def test_rules_wait_for_a_valid_shape() -> None:
    schema = obj_schema(f=I | rules("self < 10"), g=I)
    assert [m.partition(":")[0] for m in check(schema, {"f": 11, "g": "x"})] == ["g", "<nil>"]


def test_transitions() -> None:
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    item = obj_schema("k", k=S, v=I) | rules({"rule": "self.v >= oldSelf.v", "message": "v may not fall"})
    once = S | rules({"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": True, "message": "set once"})
    schema = obj_schema(
        fixed=S | rules({"rule": "self == oldSelf", "message": "immutable"}), list=keyed | {"items": item}, once=once
    )
    old = {"fixed": "a", "list": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}
    assert check(schema, old) == []
    assert check(schema, {"fixed": "b"}, old) == ['fixed: Invalid value: "b": immutable']
    assert check(schema, {}, old) == []
    assert check(schema, {"list": [{"k": "c", "v": 0}, {"k": "b", "v": 1}]}, old) == ["list[1]: Invalid value: v may not fall"]
    assert check(schema, {"once": "x"}, {}) == []
    assert check(schema, {"once": "y"}, {"once": "x"}) == ['once: Invalid value: "y": set once']


def test_unchanged_values_are_forgiven_with_a_warning() -> None:
    schema = from_openapi(obj_schema(a=S | rules({"rule": "self != 'LOUD'", "message": "quiet please"}), b=S))
    warnings: list[str] = []
    assert validate({"a": "LOUD", "b": "2"}, schema, old={"a": "LOUD", "b": "1"}, warnings=warnings) == []
    assert warnings == ['a: Invalid value: "LOUD": quiet please']


@pytest.mark.parametrize(
    "changes",
    [{"rule": "self != oldSelf"}, {"rule": "!oldSelf.hasValue() || self != oldSelf.value()", "optionalOldSelf": True}],
    ids=["transition", "optional"],
)
def test_what_a_transition_rule_says_of_an_unchanged_value_counts(changes: Any) -> None:
    leaf = S | rules(changes | {"message": "change it"})
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = obj_schema(
        a=leaf,
        inner=obj_schema(a=leaf),
        list=keyed | {"items": obj_schema("k", k=S, a=leaf)},
        map={"type": "object", "additionalProperties": obj_schema(a=leaf)},
    )
    old = {"a": "1", "inner": {"a": "1"}, "list": [{"k": "x", "a": "1"}], "map": {"y": {"a": "1"}}}
    fields = ("a", "inner.a", "list[0].a", "map[y].a")
    assert check(schema, old, old) == [f'{field}: Invalid value: "1": change it' for field in fields]
    assert check(schema, old) == []


@pytest.mark.parametrize(
    "expression",
    [
        "isQuantity('1Gi') && !isQuantity('x') && quantity('2Gi').isGreaterThan(quantity('1Gi'))",
        "quantity('1k').add(quantity('500')).compareTo(quantity('1500')) == 0 && sign(quantity('1500m')) == 1",
        "quantity('2k').asInteger() == 2000 && sign(quantity('1').sub(2)) == -1 && !quantity('1m').isInteger()",
        "ip('1.2.3.4').family() == 4 && ip('::1').isLoopback() && ip.isCanonical('::1') && !isIP('x')",
        "cidr('10.0.0.0/8').containsIP('10.1.1.1') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').prefixLength() == 8",
        "url('https://u@h:80/p?a=b').getHost() == 'h:80' && url('http://h:80/').getPort() == '80' && !isURL('a b')",
        "url('https://h/p?a=b').getQuery()['a'] == ['b'] && url('https://[::1]:80/').getHostname() == '::1'",
        "[1, 2].isSorted() && ![2, 1].isSorted() && [1, 2].sum() == 3 && [1, 3].max() == 3 && ['b', 'a'].min() == 'a'",
        "['a', 'b', 'a'].indexOf('a') == 0 && ['a', 'b', 'a'].lastIndexOf('a') == 2 && 'abc'.indexOf('b') == 1",
        "sets.contains([1, 2], [1]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 1], [1])",
        "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.findAll('[0-9]+', 1) == ['1']",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-a').isLessThan(semver('1.0.0'))",
        "semver('4.5.6').minor() == 5 && isSemver('1.2.3') && !isSemver('1.2')",
        "'%s-%d'.format(['x', 1]) == 'x-1' && 'a,b'.split(',').join('-') == 'a-b' && [1, 2].max() == 2",
        "optional.of(1).orValue(2) == 1 && optional.of(2).optMap(x, x * x).value() == 4",
    ],
)
def test_kubernetes_libraries(expression: str) -> None:
    assert cel.program(expression).run({}) is True
    assert check_types(expression, {"self": DYN}, {}).type == BOOL


UNBOUNDED: dict[str, Any] = {"type": "array", "items": S}
SPEC = obj_schema(a=S, n=I, l=UNBOUNDED, m={"type": "object", "additionalProperties": S}, q={"x-kubernetes-int-or-string": True})
CALLED = ".x-kubernetes-validations[0]"


def refused(schema: Any) -> list[tuple[str, str]]:
    return [(e.field.removeprefix("s"), e.text) for e in rule_errors(from_openapi(schema), "s")]


@pytest.mark.parametrize(
    ("rule", "field", "ending"),
    [
        ("self.zzz == 1", ".rule", "compilation failed: ERROR: <input>:1:5: undefined field 'zzz'\n | self.zzz == 1\n | ....^"),
        ("self.n", ".rule", "cel expression must evaluate to a bool"),
        (
            "self.n == 'a'",
            ".rule",
            "found no matching overload for '_==_' applied to '(int, string)'\n | self.n == 'a'\n | .......^",
        ),
        ("", ".rule", "rule is not specified"),
        ({"rule": "true", "messageExpression": "self.n"}, ".messageExpression", "messageExpression must evaluate to a string"),
        ({"rule": "true", "message": "a\nb"}, ".message", "must not contain line breaks"),
        ({"rule": "true", "message": "  "}, ".message", "must be non-empty if specified"),
        ("true\n|| true", ".message", "message must be specified if rule contains line breaks"),
        (
            {"rule": "true", "reason": "Frob"},
            ".reason",
            '"FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
        ),
        ({"rule": "true", "fieldPath": ".zz"}, ".fieldPath", "must be a valid path"),
        ({"rule": "true", "fieldPath": ".l[0]"}, ".fieldPath", "must be a valid path"),
        ({"rule": "true", "optionalOldSelf": True}, ".optionalOldSelf", "may not be set if oldSelf is not used in rule"),
    ],
)
def test_refused_rules(rule: Any, field: str, ending: str) -> None:
    [(place, text)] = refused(SPEC | rules(rule))
    assert place == CALLED + field
    assert text.endswith(ending)


def test_values_without_a_type_can_have_no_rules() -> None:
    for untyped in ({"x-kubernetes-preserve-unknown-fields": True}, {"type": "array", "items": {}}):
        [(place, text)] = refused(untyped | {"x-kubernetes-validations": [{"rule": "true"}, {"rule": "false"}]})
        assert place == ".x-kubernetes-validations"
        assert text.startswith("Internal error: internal error: failed to construct type information")


@pytest.mark.parametrize(
    "rule",
    [
        "self.n < 10",
        "self.n >= oldSelf.n",
        "self.m['k'] == 'x'",
        "type(self.q) == int ? self.q > 1 : self.q == 'x'",
        {"rule": "!oldSelf.hasValue()", "optionalOldSelf": True},
        {"rule": "true", "fieldPath": ".m['k']"},
    ],
)
def test_accepted_rules(rule: Any) -> None:
    assert refused(SPEC | rules(rule)) == []


def test_costs() -> None:
    for rule in ("self.l.all(x, self.l.all(y, x == y))", "self.l.all(x, x.matches('a.*b.*c'))"):
        places = refused(SPEC | rules(rule))
        assert [place for place, _ in places] == [CALLED + ".rule", CALLED + ".rule", ""]
        assert places[0][1].startswith("Forbidden: estimated rule cost exceeds budget by factor of more than 100x")
    small = obj_schema(l={"type": "array", "maxItems": 10, "items": S | {"maxLength": 10}})
    assert refused(small | rules("self.l.all(x, self.l.all(y, x == y))")) == []


def test_old_values_need_a_counterpart() -> None:
    inner = S | {"maxLength": 5} | rules("self == oldSelf")
    [(place, text)] = refused(obj_schema(l={"type": "array", "maxItems": 3, "items": inner}))
    assert place == ".properties[l].items" + CALLED + ".rule"
    assert text.endswith("oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[l]")


def test_definitions_with_long_rules_are_validated_in_a_thread() -> None:
    strategy = DEFINITION.strategy
    assert strategy.may_take_long

    def definition(rule: str) -> dict[str, Any]:
        schema = obj_schema(spec=SPEC | rules(rule))
        return {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}

    short, long = definition("self.n < 10"), definition("self.n < 10" + " && self.n < 10" * 200)
    assert not strategy.takes_long(short, None)
    assert strategy.takes_long(long, None)
    assert strategy.takes_long(long, short)
    assert not strategy.takes_long(long, {**long, "metadata": {}})
    assert not strategy.takes_long({"spec": ["x"]}, None)
