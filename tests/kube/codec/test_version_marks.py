"""The version in which a stored value of a custom type is."""

from __future__ import annotations

from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.codec import stored
from tenantry.kube.custom import definition_from_crd
from tests.clients import conversion

CRD = conversion.crd("x.example", {"url": "https://x.example/"}, storage="v2")
NAMES = CRD["spec"]["names"]
DEFINITION = definition_from_crd({**CRD, "status": {"acceptedNames": NAMES, "storedVersions": ["v1", "v2"]}})
VALUES = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20) | st.just(',"apiVersion":"v9"}'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["apiVersion", "a", "kind"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["spec", "status", "a"]), VALUES, max_size=3))
def test_a_mark_is_read_again_and_never_found_in_what_an_object_says(rest: dict[str, object]) -> None:
    obj = {"apiVersion": "x.example/v2", "kind": "Thing", "metadata": {"name": "a"}, **rest}
    mark = stored.version_mark(DEFINITION)
    marked, plain = stored.encode(obj, mark=mark), stored.encode(obj)
    assert mark == "v2"
    assert (stored.written_in(marked, DEFINITION), stored.written_in(plain, DEFINITION)) == ("v2", "v1")
    assert stored.unmarked(marked) == plain == stored.unmarked(plain)
    assert "apiVersion" not in orjson.loads(plain)


def test_values_are_marked_only_where_the_version_is_another_one_than_the_first() -> None:
    assert stored.version_mark(replace(DEFINITION, storage_version="v1")) == ""
    assert stored.version_mark(replace(DEFINITION, first_stored_version="v2")) == ""
    assert stored.version_mark(replace(DEFINITION, first_stored_version="")) == ""
