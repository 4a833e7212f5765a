"""What a VirtualWorkspace may say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.schema.validate import validate
from tenantry.tenancy.types.virtual_workspace import VIRTUAL_WORKSPACE

DEFINITION = VIRTUAL_WORKSPACE.define()
WHOLE: dict[str, Any] = {
    "export": {"name": "cowboys"},
    "access": {"expression": "user.name == 'a' && request.verb == 'get'"},
    "resources": [
        {
            "group": "",
            "resource": "configmaps",
            "labelSelector": {"matchLabels": {"a": "b"}},
            "filter": "cluster.name != user.uid",
            "show": "{'a': object.data}",
            "verbs": ["get"],
        },
        {"group": "a.b", "resource": "things", "hiddenFields": ["spec.a", "data"], "verbs": ["get"], "version": "v1"},
    ],
    "counts": [{"group": "c.d", "resource": "counts", "kind": "Count", "of": {"resource": "configmaps", "filter": "true"}}],
}


def problems(spec: Any) -> list[str]:
    obj = {"metadata": {"name": "x"}, "spec": spec}
    schema = DEFINITION.versions["v1alpha1"].schema
    found = [*validate({"spec": spec}, schema), *DEFINITION.strategy.validate(obj, None, "")]
    return sorted({error.field for error in found})


def test_a_whole_one() -> None:
    assert problems(WHOLE) == []
    assert problems({"export": {"name": "cowboys"}}) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"export": {}}, "spec.export.name"),
        ({"access": {"expression": "object.a == 1"}}, "spec.access.expression"),
        ({"access": {"expression": "'text'"}}, "spec.access.expression"),
        ({"resources": [{"resource": "a", "filter": "1"}]}, "spec.resources[0].filter"),
        ({"resources": [{"resource": "a", "filter": "request.verb == 'get'"}]}, "spec.resources[0].filter"),
        ({"resources": [{"resource": "a", "show": "user.name"}]}, "spec.resources[0].show"),
        (
            {"resources": [{"resource": "a", "labelSelector": {"matchLabels": {"a": "not a value"}}}]},
            "spec.resources[0].labelSelector",
        ),
        ({"resources": [{"resource": "a", "labelSelector": {"matchLabels": 5}}]}, "spec.resources[0].labelSelector.matchLabels"),
        ({"resources": [{"resource": "a", "hiddenFields": ["kind"]}]}, "spec.resources[0].hiddenFields[0]"),
        ({"resources": [{"resource": "a", "hiddenFields": ["a..b"]}]}, "spec.resources[0].hiddenFields[0]"),
        ({"resources": [{"resource": "a/b"}]}, "spec.resources[0].resource"),
        ({"resources": [{"resource": "a", "group": "A"}]}, "spec.resources[0].group"),
        ({"counts": [{**WHOLE["counts"][0], "group": ""}]}, "spec.counts[0].group"),
        ({"counts": [{**WHOLE["counts"][0], "kind": "count"}]}, "spec.counts[0].kind"),
        ({"counts": [{**WHOLE["counts"][0], "of": {"resource": "a", "filter": "user.name == 'a'"}}]}, "spec.counts[0].of.filter"),
    ],
)
def test_refusals(change: Any, field: str) -> None:
    assert field in problems({**WHOLE, **change})


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "access",
                        "resources",
                        "counts",
                        "of",
                        "filter",
                        "show",
                        "labelSelector",
                        "matchLabels",
                        "hiddenFields",
                        "expression",
                    ]
                ),
                each,
            )
        ),
        max_leaves=12,
    )
)
def test_any_shape_is_refused_and_nothing_raised(spec: Any) -> None:
    DEFINITION.strategy.validate({"metadata": {"name": "x"}, "spec": spec}, None, "")


def test_what_does_not_change_is_not_compiled_again() -> None:
    """So that a status can be written when a newer release refuses an expression."""
    obj = {"metadata": {"name": "x"}, "spec": {**WHOLE, "access": {"expression": "nosuch"}}}
    assert DEFINITION.strategy.validate(obj, obj, "status") == []
    assert DEFINITION.strategy.validate(obj, {**obj, "spec": WHOLE}, "") != []
