from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.base.cache import size_of
from tenantry.kube.selectors import labels
from tenantry.kube.selectors.requirements import Requirement, requirement

OBJECTS = {
    "b": {"i": "0", "parity": "even", "all": "yes"},
    "a": {"i": "1", "parity": "odd", "all": "yes"},
    "c-1": {"i": "2", "parity": "even", "all": "yes"},
    "c.1": {"i": "3", "parity": "odd", "all": "yes", "extra": ""},
    "c": {"i": "4", "parity": "even", "all": "yes"},
    "late": {"i": "late"},
}


def matching(text: str) -> list[str]:
    selector = labels.parse(text)
    return [name for name, own in OBJECTS.items() if selector.matches(own)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("parity=even", ["b", "c-1", "c"]),
        ("parity==even", ["b", "c-1", "c"]),
        ("parity!=even,all=yes", ["a", "c.1"]),
        ("parity!=even", ["a", "c.1", "late"]),
        ("parity in (even,odd)", ["b", "a", "c-1", "c.1", "c"]),
        ("parity in (even),i notin (0,2)", ["c"]),
        ("i notin (1,2,3),all", ["b", "c"]),
        ("extra", ["c.1"]),
        ("!extra,all=yes", ["b", "a", "c-1", "c"]),
        ("extra=", ["c.1"]),
        ("extra in ()", ["c.1"]),
        ("extra in (,x)", ["c.1"]),
        ("extra in (x,)", ["c.1"]),
        ("extra in (x,,y)", ["c.1"]),
        ("i>3", ["c"]),
        ("i<2,all", ["b", "a"]),
        (" parity = even ", ["b", "c-1", "c"]),
        ("parity in(odd)", ["a", "c.1"]),
        ("", list(OBJECTS)),
        ("in", []),
        ("in in (in)", []),
        ("notin notin (notin)", list(OBJECTS)),
        ("parity,parity=odd", ["a", "c.1"]),
        ("parity=even,parity=odd", []),
        ("parity=even,i=0,all=yes", ["b"]),
        ("example.com/x=y", []),
    ],
)
def test_selects_as_kube_apiserver_does(text: str, names: list[str]) -> None:
    assert matching(text) == names


NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "i>abc",
            'unable to parse requirement: values[0]: Invalid value: "abc": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("i>=3", "unable to parse requirement: found '=', expected: identifier"),
        ("parity = even odd", "found 'odd', expected: ',' or 'end of string'"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!!bad===", "unable to parse requirement: found '!', expected: identifier"),
        ("parity in even", "unable to parse requirement: found 'even' expected: '('"),
        ("parity in (even", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("parity in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("parity notin", "unable to parse requirement: found '' expected: '('"),
        ("-bad=x", f'unable to parse requirement: <nil>: Invalid value: "-bad": {NAME_PART}'),
        ("a=-b", f'unable to parse requirement: values[0][a]: Invalid value: "-b": {VALUE}'),
        (
            "a=" + "v" * 64,
            f'unable to parse requirement: values[0][a]: Invalid value: "{"v" * 64}": must be no more than 63 bytes',
        ),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
    ],
)
def test_refuses_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        labels.parse(text)
    assert str(refused.value) == message


def test_object_form() -> None:
    selector = labels.from_object(
        {
            "matchLabels": {"all": "yes"},
            "matchExpressions": [
                {"key": "i", "operator": "In", "values": ["1", "3"]},
                {"key": "extra", "operator": "DoesNotExist"},
                {"key": "parity", "operator": "NotIn", "values": ["even"]},
                {"key": "i", "operator": "Exists"},
            ],
        }
    )
    assert [name for name, own in OBJECTS.items() if selector.matches(own)] == ["a"]
    assert str(selector) == "all=yes,!extra,i in (1,3),i,parity notin (even)"


def test_null_selects_nothing_and_empty_everything() -> None:
    assert not labels.from_object(None).matches({})
    assert not labels.from_object(None).is_everything
    assert labels.from_object({}).is_everything
    assert labels.from_object({}).matches({"a": "b"})


@pytest.mark.parametrize(
    ("label_selector", "message"),
    [
        ({"matchExpressions": [{"key": "a", "operator": "Like"}]}, '"Like" is not a valid label selector operator'),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]},
            "values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            'values: Invalid value: ["b"]: values set must be empty for exists and does not exist',
        ),
        ({"matchLabels": {"a": "-b"}}, f'values[0][a]: Invalid value: "-b": {VALUE}'),
    ],
)
def test_bad_object_form(label_selector: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        labels.from_object(label_selector)
    assert str(refused.value) == message


KEYS = st.sampled_from(["a", "b", "in", "notin", "example.com/x", "k.1"])
VALUES = st.sampled_from(["", "x", "y-1", "in", "7", "12"])


def requirements() -> st.SearchStrategy[Requirement]:
    one = st.tuples(VALUES).map(lambda values: values)
    return st.one_of(
        st.builds(requirement, KEYS, st.sampled_from(["=", "==", "!="]), one),
        st.builds(requirement, KEYS, st.sampled_from(["in", "notin"]), st.sets(VALUES, min_size=1)),
        st.builds(requirement, KEYS, st.sampled_from(["exists", "!"])),
        st.builds(requirement, KEYS, st.sampled_from(["gt", "lt"]), st.tuples(st.integers(0, 99).map(str))),
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(requirements(), max_size=4), st.dictionaries(KEYS, VALUES))
def test_what_is_printed_parses_to_the_same(parts: list[Requirement], own: dict[str, str]) -> None:
    selector = labels.LabelSelector(parts)
    again = labels.parse(str(selector))
    assert again == selector
    assert again.matches(own) == selector.matches(own) == all(labels.LabelSelector([part]).matches(own) for part in parts)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab=!,() in<>-", max_size=12))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        selector = labels.parse(text)
    except ValueError:
        return
    assert labels.parse(str(selector)) == selector


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.sampled_from(["in", "notin", "exists", "!", "=", "!="]),
            st.lists(st.text(alphabet="xyz", min_size=1, max_size=40), min_size=1, max_size=60, unique=True),
        ),
        max_size=40,
    )
)
def test_the_estimate_of_the_memory_is_at_least_what_is_counted(parts: list[tuple[str, str, list[str]]]) -> None:
    wanted = {"in": None, "notin": None, "exists": 0, "!": 0, "=": 1, "!=": 1}
    selector = labels.LabelSelector(
        Requirement(key, operator, tuple(sorted(values)[: wanted[operator]])) for key, operator, values in parts
    )
    assert size_of(selector) <= labels.memory_bytes(selector) <= 10 * size_of(selector)
