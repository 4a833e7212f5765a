"""CEL expressions that do not follow the grammar: the errors are cel-go's, and cost a bounded time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.schema import cel_prediction
from tenantry.kube.schema.cel_errors import CelError, CompileErrors
from tenantry.kube.schema.cel_parser import CHAIN_MAX, DEPTH_MAX, EXPRESSION_MAX, parse
from tenantry.kube.schema.cel_recovery import Recovery
from tenantry.kube.schema.cel_tokens import tokens

CASES = Path(__file__).parents[2] / "cases" / "cel" / "malformed.json"
TEXT = "== in < && || [ ] { } ( ) . , - ! ? : + * true null 1 2u 1.5 'a' b'x' a foo `q` if has has( .map(x, a.b{c:"


def errors(expression: str) -> list[str]:
    with pytest.raises(CelError) as raised:
        parse(expression)
    return [line.removeprefix("ERROR: <input>:") for line in str(raised.value).split("\n") if line.startswith("ERROR: ")]


def test_errors_are_those_of_cel_go() -> None:
    cases = json.loads(CASES.read_text())
    differing = []
    for expression, *answer in cases["rows"]:
        full = [re.sub(r"SET\d$", lambda found: cases["sets"][found.group()], line) for line in answer]
        if (found := errors(expression)) != full:
            differing.append((expression, full, found))
    assert not differing
    assert len(cases["rows"]) > 400


def test_the_minus_of_a_name_is_no_number() -> None:
    assert errors("!-x") == ["1:3: Syntax error: no viable alternative at input '-x'"]
    parse("!-1")
    parse("- -x")


def test_an_error_without_a_place_has_the_snippet_of_the_first_line() -> None:
    with pytest.raises(CelError) as raised:
        parse("has(.<")
    assert str(raised.value).startswith(
        "ERROR: <input>:1:0: invalid argument to has() macro\n | has(.<\n | ^\nERROR: <input>:1:6"
    )


@given(st.lists(st.sampled_from(TEXT.split(" ")), min_size=1, max_size=14))
def test_the_grammar_has_errors_where_the_parser_stops(words: list[str]) -> None:
    """What the parser accepts is read without a syntax error by the grammar, and the other way round."""
    source = " ".join(words)
    found = CompileErrors(source)
    Recovery(source, tokens(source, found), found, (DEPTH_MAX, CHAIN_MAX)).read()
    try:
        parse(source)
        accepted = True
    except CelError as error:
        accepted = "Syntax error" not in str(error)
    assert accepted == (not found.issues)


HOSTILE = [
    "-1.f(",
    "-1.a[-",
    "{-1:-1,",
    "a || ",
    "a.b.c, ",
    "--",
    "!",
    "[1 2], ",
    "a ? b : ",
    "m{x: 1, ",
    "'\\z",
    "`",
    "@",
    "f(a",
    "] ",
]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("length", [300, EXPRESSION_MAX])
def test_hostile_texts_take_few_steps(unit: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = 0
    spend = cel_prediction.Prediction.spend

    def counted(self: cel_prediction.Prediction, steps: int) -> None:
        nonlocal spent
        spent += steps
        spend(self, steps)

    monkeypatch.setattr(cel_prediction.Prediction, "spend", counted)
    found = errors((unit * (length // len(unit)))[:length])
    # One more than may be is asked for at the end, of the size of one decision.
    assert spent < (10_000 if length == 300 else 32_000)
    assert 0 < len(found) <= CompileErrors.LIMIT


def test_limits_of_recovery() -> None:
    assert errors("[1 2], " * 300)[0] == "-1:0: error recovery token lookahead limit exceeded: 256"
    assert errors("a." * 200)[0] == f"-1:0: expression recursion limit exceeded: {CHAIN_MAX}"
    assert errors("a b " + "(" * 200)[-1] == "1:3: Syntax error: mismatched input 'b' expecting <EOF>"
    assert any("error recovery attempt limit exceeded: 30" in each for each in errors("(a b) + " * 40))


def test_errors_that_are_too_many() -> None:
    for expression in ("@" * 120, "@" * 100, "f(," * 101):
        with pytest.raises(CelError) as raised:
            parse(expression)
        assert len(errors(expression)) == CompileErrors.LIMIT
        assert str(raised.value).endswith("\n1 more errors were truncated")
