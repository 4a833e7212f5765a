"""Objects and JSON patches that expressions of mutations construct."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_objects import Constructed, type_mismatches
from tenantry.kube.schema.cel_types import DYN
from tenantry.kube.schema.cel_values import Cost

VARIABLES = ("object",)


def typed(text: str) -> str:
    return str(check(text, dict.fromkeys(VARIABLES, DYN), {}, patch_types=True).type)


def run(text: str, **values: Any) -> Any:
    checked = check(text, dict.fromkeys(VARIABLES, DYN), {}, patch_types=True)
    return Compiled(checked.tree.root, VARIABLES, patch_types=True).run((values.get("object"),), Cost(1_000_000))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Object{}", "Object"),
        ("Object.spec{replicas: 3}", "Object.spec"),
        ("Object{spec: Object.spec{items: [Object.spec.items{name: 'a'}]}}", "Object"),
        ("[JSONPatch{op: 'add', path: '/a', value: 1}]", "list(JSONPatch)"),
        ("true ? [JSONPatch{op: 'remove', path: '/a'}] : []", "list(JSONPatch)"),
        ("[]", "list(dyn)"),
        ("Object{a: 1}.a", "dyn"),
        ("JSONPatch{op: 'add'}.op", "string"),
        ("jsonpatch.escapeKey('a')", "string"),
    ],
)
def test_types(text: str, wanted: str) -> None:
    assert typed(text) == wanted


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Invalid{}", "undeclared reference to 'Invalid' (in container '')"),
        ("Objects{}", "undeclared reference to 'Objects' (in container '')"),
        ("int{}", "'int' is not a message type"),
        ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        ("JSONPatch{zzz: '/a'}", "expected type of field 'zzz' is '' but provided type is 'string'"),
        ("JSONPatch{op: zzz}", "undeclared reference to 'zzz' (in container '')"),
        ("Object{?a: 1}", "expected type 'optional_type(int)' but found 'int'"),
        ("Object{", "mismatched input '<EOF>' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"),
        ("Object{a: 1 b: 2}", "mismatched input 'b' expecting {'}', ','}"),
    ],
)
def test_wrong_expressions(text: str, error: str) -> None:
    with pytest.raises(CelError) as raised:
        typed(text)
    assert str(raised.value).split("\n")[0].endswith(error)


@pytest.mark.parametrize("text", ["Object{}", "JSONPatch{}", "jsonpatch.escapeKey('a')"])
def test_only_mutations_have_these_types(text: str) -> None:
    with pytest.raises(CelError, match="undeclared reference"):
        check(text, {}, {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Object{a: [1, 2, 3]}.a.sum()", 6),
        ("Object{spec: Object.spec{n: 3}} == Object{spec: Object.spec{n: 1 + 2}}", True),
        ("Object{spec: Object.spec{n: 3}} == Object{spec: Object.spec{n: 4}}", False),
        ("Object{} == dyn(Object.a{})", False),
        ("has(Object{a: 1}.a)", True),
        ("has(Object{a: 1}.b)", False),
        ("Object{a: 1}.b", None),
        ("has(JSONPatch{op: 'add'}.path)", False),
        ("JSONPatch{op: 'add'}.path", ""),
        ("Object{?a: object.?a, ?b: object.?b}", {"a": 1}),
        ("Object{`a-b/c`: 1}", {"a-b/c": 1}),
        ("jsonpatch.escapeKey('k8s.io/my~label')", "k8s.io~1my~0label"),
        ("type(Object.spec{}) == Object.spec", True),
        ("type(Object.spec{}) == Object", False),
        ("[1, 2].map(n, JSONPatch{op: 'add', path: '/' + string(n)}).size()", 2),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = run(text, object={"a": 1})
    assert (found.fields if isinstance(found, Constructed) else found) == value


def test_a_patch_is_checked_when_it_is_made() -> None:
    with pytest.raises(CelError, match="unexpected type int64 for JSONPatchType 'op' field"):
        run("JSONPatch{op: dyn(1)}")
    with pytest.raises(CelError, match="unexpected JSONPatchType field: zzz"):
        run("JSONPatch{zzz: dyn(1)}")


def test_an_object_costs_forty() -> None:
    cost = Cost(1_000)
    checked = check("Object{a: Object.a{}}", {}, {}, patch_types=True)
    Compiled(checked.tree.root, (), patch_types=True).run((), cost)
    assert cost.spent == 80


def test_names_of_types_are_paths() -> None:
    assert type_mismatches(run("Object{a: [Object.a{b: {'c': Object.a.b{}}}]}"), lambda: None) == []
    assert type_mismatches(run("Object{a: Object.b{c: Object.b.c{}}}"), lambda: None) == [
        'unexpected type name "Object.b", expected "Object.a", which matches field name path from root Object type',
        'unexpected type name "Object.b.c", expected "Object.a.c", which matches field name path from root Object type',
    ]
    # What a patch inserts begins with its own name.
    assert type_mismatches(run("Object.spec{a: Object.spec.a{}}"), lambda: None) == []
