"""CEL beside Kubernetes' own: what is written in `tests/cases/cel` was answered by it (the files name the versions)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_cost import estimate
from tenantry.kube.schema.cel_declared import Declarations, Declared
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.parse import from_openapi

CASES = Path(__file__).parents[2] / "cases" / "cel"


def answered(name: str) -> Any:
    return json.loads((CASES / name).read_text())


def estimated(rule: str, declarations: Declarations, declared: Declared) -> int | str:
    try:
        checked = check(rule, {"self": declared.type, "oldSelf": declared.type}, declarations.structs)
    except CelError as error:
        return re.sub(r"selfType\d+", "selfType", f"compilation failed: {error}")
    return estimate(checked, declared) if checked.type.kind == "bool" else "cel expression must evaluate to a bool"


def test_estimates_and_refusals_are_those_of_kubernetes() -> None:
    cases = answered("estimates.json")
    schemas = []
    for each in cases["schemas"]:
        declarations = Declarations()
        declared = declarations.of(from_openapi(each["schema"]), is_root=each["root"])
        assert declared is not None
        schemas.append((declarations, declared))
    differing = [
        (rule, answer, found) for number, rule, answer in cases["rows"] if (found := estimated(rule, *schemas[number])) != answer
    ]
    assert not differing
    assert len(cases["rows"]) > 1000
