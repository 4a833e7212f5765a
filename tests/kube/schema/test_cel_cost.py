"""What expressions of tenants cost: charged before it is spent, in proportion to what they look at and make, and bounded."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from tenantry.kube import jsonpath, jsonpath_steps
from tenantry.kube.schema import cel, formats
from tenantry.kube.schema.cel_nodes import NODES_MAX
from tenantry.kube.schema.cel_parser import parse
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.validate import validate
from tests.kube.definitions import I, S, obj_schema


def cost(expression: str, value: Any, old: Any = cel.ABSENT) -> int:
    budget = cel.Budget()
    cel.program(expression).run(value, old, budget=budget)
    return cel.OBJECT_LIMIT - budget.left


LONG = [
    "self.t.size() > 0",
    "(self.t + self.t).size() > 0",
    "self.t.replace('a', 'bb').size() > 0",
    "self.t.split('a').size() > 0",
    "self.t.split('').size() > 0",
    "self.t.lowerAscii().upperAscii().trim().split('').reverse().join('').substring(1).size() > 0",
    "self.t.matches('^(a+)+$') || true",
    "self.t.find('b') == ''",
    "self.t.contains('b') || self.t.startsWith('b') || self.t.endsWith('b') || self.t.indexOf('b') > 0 || true",
    "self.t.lastIndexOf('b') < 0",
    "'%s'.format([self.t]).size() > 0",
    "'%x'.format([self.t]).size() > 0",
    "strings.quote(self.t).size() > 0",
    "bytes(self.t + self.t).size() > 0",
    "string(bytes(self.t)) == self.t",
    "isURL(self.t) || isIP(self.t) || isCIDR(self.t) || isQuantity(self.t) || isSemver(self.t) || true",
    "self.l.all(x, x == x)",
    "self.l.map(x, x + 1).size() > 0",
    "self.l.filter(x, x > 0).size() > 0",
    "(self.l + self.l).size() > 0",
    "self.l.exists_one(x, x == -1) || true",
    "self.l.isSorted() || self.l.sum() > 0 || self.l.max() > self.l.min()",
    "self.l.indexOf(-1) < 0 && self.l.lastIndexOf(-1) < 0 && !(-1 in self.l)",
    "self.s.join(',').size() > 0",
    "self.o == oldSelf.o",
    "'%s'.format([self.o]).size() > 0",
    "self.m.all(k, self.m[k] >= 0)",
    "sets.contains(self.l, [1])",
    "self.l.transformMap(i, x, x + i).size() > 0",
    "self.l.transformList(i, x, x > 0, x + i).size() > 0",
    "self.m.transformMapEntry(k, v, {k + 'a': v}).size() > 0",
    "self.l.all(i, x, x >= i) || true",
    "lists.range(self.l.size()).reverse().slice(0, self.l.size()).size() > 0",
    "[self.l, self.l].flatten().size() > 0",
    "self.l.first().hasValue() && self.l.last().hasValue()",
    "format.dns1123Label().validate(self.t).hasValue() || format.uri().validate(self.t).hasValue() || true",
    "isSemver(self.t, true) || isIP('1.2.3.' + self.t) || isCIDR('::' + self.t) || isURL('https://' + self.t) || true",
]


def grown(size: int) -> dict[str, Any]:
    return {
        "t": "a" * size,
        "l": list(range(size)),
        "s": ["x"] * size,
        "o": [{"a": i, "b": {"c": [i]}} for i in range(size)],
        "m": {f"k{i}": i for i in range(size)},
    }


@pytest.mark.parametrize("expression", LONG)
def test_cost_grows_with_what_is_looked_at(expression: str) -> None:
    costs = [cost(expression, grown(size), grown(size)) for size in (256, 512, 1024)]
    assert costs[2] - costs[1] <= 2 * (costs[1] - costs[0]) + 8, costs


GROWING = [
    "self.t" + ".replace('a', self.t)" * 8 + ".size() > 0",
    "[self.t]" + ".map(x, x + x)" * 20 + ".size() > 0",
    "optional.of(self.t + self.t).optMap(a, a + a + a + a + a + a).optMap(b, b + b + b + b + b + b)"
    ".optMap(c, c + c + c + c + c + c + c + c + c + c + c).value().size() > 0",
    "[1]" + ".map(x, [x, x])" * 3 + ".map(x, self.l + self.l).map(x, self.l.map(y, self.t + self.t)).size() > 0",
    "self.l.map(x, self.l).map(x, x + x + x + x + x + x).size() > 0",
    "self.l.map(x, self.t).map(x, x.split('')).size() > 0",
    "self.l.map(x, self.t).join(self.t).size() > 0",
    "self.l.map(x, '%s'.format([self.o])).size() > 0",
    "self.l.map(x, (self.t + self.t).lowerAscii()).size() > 0",
    "self.l.map(x, self.t.findAll('')).size() > 0",
]
LASTING = [
    "self.l.all(x, self.l.all(y, self.l.all(z, x == y || true)))",
    "self.l.all(x, self.o == oldSelf.o)",
    "self.l.all(x, self.t.matches('(a|b)*a.{900}'))",
]


@pytest.mark.parametrize("expression", GROWING)
def test_what_grows_beyond_its_input_is_ended_in_time(expression: str) -> None:
    value = grown(3000)
    program = cel.program(expression)
    tracemalloc.start()
    try:
        with pytest.raises(cel.BudgetExceeded):
            program.run(value)
        assert tracemalloc.get_traced_memory()[1] < 48 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("expression", LASTING)
def test_what_lasts_is_ended(expression: str) -> None:
    with pytest.raises(cel.BudgetExceeded):
        cel.program(expression).run(grown(3000), grown(3000))


@pytest.mark.parametrize("macro", [".optMap(v, v)", ".optFlatMap(v, optional.of(v))"])
def test_macros_that_double_are_refused_before_they_do(macro: str) -> None:
    assert cel.program("optional.of(1)" + macro * 4 + ".hasValue()").run({}) is True
    for count in (14, 30, 1000):
        with pytest.raises(cel.CelError):
            cel.Program("optional.of(1)" + macro * count + ".hasValue()")
    many = " && ".join(["optional.of(1).optMap(v, v).hasValue()"] * 200)
    assert len(parse(many).offsets) < NODES_MAX


def test_where_oldself_stands_is_found_in_one_pass() -> None:
    assert cel.uses_old_self("self == oldSelf") and cel.uses_old_self("has(self.a) && 'x' == oldSelf.a")
    assert not cel.uses_old_self(r"self.oldSelf == 'oldSelf' && \"oldSelf\" == 'a\\'oldSelf'")
    assert not cel.uses_old_self("\\'" * 100_000)


def messages(schema: Any, value: Any) -> list[str]:
    return [e.message for e in validate(value, from_openapi(schema))]


def test_a_call_ends_at_its_limit() -> None:
    rule = "self.all(x, self.all(y, x + y >= 0))"
    schema = obj_schema(l={"type": "array", "items": I, "x-kubernetes-validations": [{"rule": rule}, {"rule": "false"}]})
    assert messages(schema, {"l": list(range(1000))}) == [
        "l: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run"
        f" due to call cost exceeds limit for rule: {rule}"
    ]


def test_an_object_ends_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel, "OBJECT_LIMIT", 1_500_000)
    rules = [{"rule": "self.all(x, self.all(y, true))"}] * 40
    schema = obj_schema(l={"type": "array", "items": I, "x-kubernetes-validations": rules})
    assert messages(schema, {"l": list(range(400))}) == [
        'l: Invalid value: "array": validation failed due to running out of cost budget, no further validation rules will be run'
    ]
    with pytest.raises(cel.LoopBudgetExceeded):
        validate({"l": list(range(400))}, from_openapi(schema), at_once=True)


def test_a_pattern_too_large_for_its_text_is_a_failure() -> None:
    schema = obj_schema(a=S | {"pattern": "(a|b)*a.{900}c"})
    assert messages(schema, {"a": "ab" * 100}) != []
    [text] = messages(schema, {"a": "ab" * 30_000})
    assert text.endswith("the patterns of its schema are too large to be matched on texts of this length")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hostname", "aa." * 80 + "1"),
        ("duration", "1" * 300_000),
        ("cidr", "10.0.0.0/" + "0" * 4000 + "8"),
        ("uri", "a" * 300_000),
    ],
)
def test_formats_read_each_character_once(name: str, text: str) -> None:
    check = formats.find(name)
    assert check is not None and not check(text)


def visited(path: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    spent: list[int] = []
    count = jsonpath_steps.Visits.count

    def counting(visits: jsonpath_steps.Visits, nodes: int) -> None:
        spent.append(nodes)
        count(visits, nodes)

    with monkeypatch.context() as patched:
        patched.setattr(jsonpath_steps.Visits, "count", counting)
        jsonpath.first(path)(value)
    return sum(spent)


def test_a_path_looks_at_no_node_twice_for_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def nested(depth: int) -> Any:
        value: Any = {}
        for _ in range(depth):
            value = {"a": value, "b": [1]}
        return value

    for path in ("..a" * 6 + "..z", "..a..b..z", ".a.*.*..z", ".a[?(@.a)]..z"):
        visits = [visited(path, nested(depth), monkeypatch) for depth in (20, 40, 80)]
        assert visits[2] - visits[1] <= 2 * (visits[1] - visits[0]) + 8, (path, visits)
    assert visited("..a" * 200 + "..z", nested(80), monkeypatch) <= 2 * jsonpath_steps.VISITED_MAX
    assert jsonpath.first("..a" * 200 + "..z")(nested(80)) is None


@pytest.mark.parametrize(
    "path",
    [
        ".l[?(@.a" + " " * 1500 + "==" + " " * 1500 + "x)].b",
        "." + "a[" * 1500,
        "[?(" * 1000,
        ".l[" + "'" * 3000,
        ".a" * 2000,
        "." * 3000,
        ".a\\" * 1300,
        "[0]" * 1000,
        ".a" * 100_000,
    ],
)
def test_paths_are_read_in_one_pass_or_refused(path: str) -> None:
    try:
        jsonpath.first(path)({"a": 1})
    except ValueError as error:
        assert "json path" in str(error)
