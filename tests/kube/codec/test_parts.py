"""Parts of objects, against the same parts of the whole object."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.codec.parts import PartsDecoder

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd") | st.text(max_size=3), inner),
    max_leaves=20,
)
PATHS = st.lists(st.lists(st.sampled_from("abc"), max_size=5).map(tuple), max_size=5)


def at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


@given(value=st.dictionaries(st.sampled_from("abcd"), VALUES), paths=PATHS)
def test_parts_are_those_of_the_whole_object(value: Any, paths: list[tuple[str, ...]]) -> None:
    text = orjson.dumps(value)
    found = PartsDecoder(paths).decode(text)
    whole = orjson.loads(text)
    for path in paths:
        part = at(found, path)
        assert (part, repr(part)) == (at(whole, path), repr(at(whole, path)))


def test_what_no_path_leads_to_is_left_out() -> None:
    text = b'{"spec":{"a":1,"b":{"c":2,"d":3}},"status":{"a":1},"metadata":{"name":"n"}}'
    found = PartsDecoder([("spec", "a"), ("spec", "b", "c")], raw=("metadata",)).decode(text)
    assert bytes(found.pop("metadata")) == b'{"name":"n"}'
    assert found == {"spec": {"a": 1, "b": {"c": 2}}}


def test_an_integer_that_no_int64_holds_is_what_it_is_in_the_whole_object() -> None:
    for number in (b"123456789012345678901234567890", b"-9223372036854775809", b"18446744073709551615"):
        text = b'{"a":%b}' % number
        [part] = PartsDecoder([("a",)]).decode(text).values()
        whole = orjson.loads(text)["a"]
        assert (type(part), part) == (type(whole), whole)


def test_many_paths_make_few_levels() -> None:
    names = [f"f{number}" for number in range(100)]
    value = {name: {"a": {"b": number}} for number, name in enumerate(names)}
    found = PartsDecoder([(name, "a", "b") for name in names]).decode(orjson.dumps(value))
    assert found == value


def test_parts_that_are_lists_or_objects_are_decoded_below_others_too() -> None:
    text = b'{"spec":{"a":[1,{"b":2}],"c":{"d":{"e":3}}}}'
    assert PartsDecoder([("spec", "a"), ("spec", "c", "d")]).decode(text) == {"spec": {"a": [1, {"b": 2}], "c": {"d": {"e": 3}}}}
