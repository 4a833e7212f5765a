"""The fields that a scale names, as kube-apiserver 1.37 checks them when the object itself is written."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.definition import ScalePaths
from tenantry.kube.scale import integer_at, scale_errors, text_at
from tests.kube.definitions import KEEP, define, version

PATHS = ScalePaths(spec_replicas=".spec.n", status_replicas=".status.n", label_selector=".status.sel")
NEGATIVE, LARGE = "should be a non-negative integer", "should be less than or equal to 2147483647"


def accessor(value: str, kind: str, wanted: str = "int64", path: str = ".spec.n") -> str:
    return f"{path} accessor error: {value} is of the type {kind}, expected {wanted}"


@pytest.mark.parametrize(
    ("value", "shown", "why"),
    [
        (3, "", ""),
        (0, "", ""),
        (-1, "-1", NEGATIVE),
        (3_000_000_000, "3000000000", LARGE),
        ("3", "0", accessor("3", "string")),
        (2.5, "0", accessor("2.5", "float64")),
        (9223372036854776000, "0", accessor("9.223372036854776e+18", "float64")),
        (True, "0", accessor("true", "bool")),
        (None, "0", accessor("<nil>", "<nil>")),
        ({}, "0", accessor("map[]", "map[string]interface {}")),
    ],
)
def test_replicas(value: Any, shown: str, why: str) -> None:
    for path in (".spec.n", ".status.n"):
        part = path[1:].partition(".")[0]
        errors = [*scale_errors({part: {"n": value}}, PATHS, status_only=part == "status")]
        assert [(error.field, error.text) for error in errors] == (
            [(path, f"Invalid value: {shown}: {why.replace('.spec.n', path)}")] if why else []
        )


def test_where_there_is_nothing() -> None:
    empty: list[dict[str, Any]] = [{}, {"spec": {}}, {"spec": None, "status": {"sel": ""}}]
    for obj in empty:
        assert [*scale_errors(obj, PATHS, status_only=False)] == []
    assert integer_at({"spec": {}}, ".spec.n") is None
    assert text_at({"status": {}}, ".status.sel") == ""
    [error] = scale_errors({"spec": [1]}, PATHS, status_only=False)
    # The path of Go's text ends at the field that was looked for in what is no object.
    assert error.text == "Invalid value: 0: " + accessor("[1]", "[]interface {}", "map[string]interface {}")


def test_a_selector_is_a_text() -> None:
    [error] = scale_errors({"status": {"sel": 5}}, PATHS, status_only=True)
    assert (error.field, error.text) == (
        ".status.sel",
        'Invalid value: "": ' + accessor("5", "int64", "string", ".status.sel"),
    )


def test_which_endpoint_checks_what() -> None:
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}
    strategy = define(version({"type": "object"} | KEEP, subresources={"status": {}, "scale": scale})).strategy
    obj: dict[str, Any] = {"apiVersion": "g.example/v1", "spec": {"n": -1}, "status": {"n": -1}}
    assert [error.field for error in strategy.validate(obj, None, "")] == [".spec.n", ".status.n"]
    assert [error.field for error in strategy.validate(obj, obj, "status")] == [".status.n"]
    assert define(version({"type": "object"} | KEEP)).strategy.validate(obj, None, "") == []
