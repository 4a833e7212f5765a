"""Checks for values of any type: enum, allOf, anyOf, oneOf, not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tenantry.kube.field_errors import show, supported_text
from tenantry.kube.patch.json_values import identity
from tenantry.kube.schema.problem import Check, Problem, Problems, composite
from tenantry.kube.schema.ratchet import Path, path_text
from tenantry.kube.schema.structural import Schema

_WIDEST = float(1 << 63)


def general_checks(schema: Schema, compile_branch: Callable[[Schema], Check]) -> list[Check]:
    """The checks. `compile_branch` compiles the combined schemas."""
    checks: list[Check] = []
    if schema.enum is not None:
        checks.append(enumerated(schema.enum))
    if schema.all_of:
        checks.append(_all_of([compile_branch(s) for s in schema.all_of]))
    if schema.any_of:
        checks.append(_any_of([compile_branch(s) for s in schema.any_of]))
    if schema.one_of:
        checks.append(_one_of([compile_branch(s) for s in schema.one_of]))
    if schema.not_ is not None:
        refused = compile_branch(schema.not_)

        def negated(value: Any, path: Path, out: Problems) -> None:
            found = out.alternative(value)
            refused(value, path, found)
            if not found:
                out.append(composite(path, f'"{path_text(path)}" must not validate the schema (not)'))

        checks.append(negated)
    return checks


def enumerated(values: tuple[Any, ...]) -> Check:
    """Refuses what is not one of the values. A null never is (kube-openapi)."""
    texts = frozenset(v for v in values if isinstance(v, str))
    others = frozenset(identity(v) for v in values if not isinstance(v, str))
    whole = frozenset(v for v in values if type(v) is int)
    supported = supported_text(v if isinstance(v, str) else orjson.dumps(v).decode() for v in values)

    def among(value: Any, path: Path, out: Problems) -> None:
        if type(value) is str:
            if value in texts:
                return
        elif value is not None and identity(value) in others:
            return
        elif type(value) is float and abs(value) < _WIDEST and int(value) in whole:
            # Upstream converts the value to the type of the listed one before it compares them.
            return
        out.append(Problem("NotSupported", path, path, f"Unsupported value: {show(value)}: supported values: {supported}"))

    return among


def _all_of(branches: list[Check]) -> Check:
    def every(value: Any, path: Path, out: Problems) -> None:
        found: list[Problem] = []
        valid = 0
        for branch in branches:
            these = out.alternative(value)
            branch(value, path, these)
            valid += not these
            found += these
        if found:
            ending = ". None validated" if valid == 0 else ""
            out.append(composite(path, f'"{path_text(path)}" must validate all the schemas (allOf){ending}'))
            out.extend(found)

    return every


def _any_of(branches: list[Check]) -> Check:
    def some(value: Any, path: Path, out: Problems) -> None:
        best: Problems | None = None
        for branch in branches:
            found = out.alternative(value)
            branch(value, path, found)
            if not found:
                return
            if best is None or len(found) < len(best):
                best = found
        out.append(composite(path, f'"{path_text(path)}" must validate at least one schema (anyOf)'))
        out.extend(best or ())

    return some


def _one_of(branches: list[Check]) -> Check:
    def one(value: Any, path: Path, out: Problems) -> None:
        best: Problems | None = None
        valid = 0
        for branch in branches:
            found = out.alternative(value)
            branch(value, path, found)
            if not found:
                valid += 1
            elif best is None or len(found) < len(best):
                best = found
        if valid == 1:
            return
        ending = f"Found {valid} valid alternatives" if valid else "Found none valid"
        out.append(composite(path, f'"{path_text(path)}" must validate one and only one schema (oneOf). {ending}'))
        if not valid:
            out.extend(best or ())

    return one
