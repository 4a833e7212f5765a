import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.base.cache import size_of
from tenantry.kube.selectors import fields
from tenantry.kube.selectors.fields import FieldRequirement, FieldSelector

OWN = {"metadata.name": "a", "metadata.namespace": "n", "spec.note": "x,y=z\\"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name!=a", False),
        ("metadata.name=a,metadata.namespace=n", True),
        ("metadata.name=a,metadata.name=b", False),
        ("metadata.name=", False),
        ("=", True),
        ("spec.note=x\\,y\\=z\\\\", True),
        ("spec.missing=", True),
        ("spec.missing!=", False),
        ("metadata.name=a,,", True),
    ],
)
def test_matches(text: str, matches: bool) -> None:
    assert fields.parse(text).matches(OWN) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid selector: 'foo'; can't understand 'foo'"),
        ("metadata.name in (a)", "invalid selector: 'metadata.name in (a)'; can't understand 'metadata.name in (a)'"),
        ("metadata.name=a\\", "invalid field selector: invalid escape sequence: \\"),
        ("metadata.name=\\q", "invalid field selector: invalid escape sequence: \\q"),
        ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_refuses_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        fields.parse(text)
    assert str(refused.value) == message


def test_required_value() -> None:
    selector = fields.parse("metadata.name=a,spec.x!=b")
    assert selector.required_value("metadata.name") == "a"
    assert selector.required_value("spec.x") is None
    assert selector.required_value("spec.y") is None
    assert fields.parse("").is_everything


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(FieldRequirement, st.sampled_from(["a.b", "c"]), st.text(alphabet="xy,=\\!", max_size=5), st.booleans()),
        max_size=4,
    )
)
def test_what_is_printed_parses_to_the_same(requirements: list[FieldRequirement]) -> None:
    selector = FieldSelector(tuple(requirements))
    again = fields.parse(str(selector))
    assert sorted(again.requirements) == sorted(selector.requirements)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.text(alphabet="xyzé漢", max_size=40)), max_size=60))
def test_the_estimate_of_the_memory_is_at_least_what_is_counted(parts: list[tuple[str, bool, str]]) -> None:
    selector = FieldSelector(tuple(FieldRequirement(field, value, negated) for field, negated, value in parts))
    assert size_of(selector) <= fields.memory_bytes(selector) <= 10 * size_of(selector)
