"""Patterns with RE2's meaning, and formats."""

from __future__ import annotations

import time

import pytest

from tenantry.kube.schema import formats
from tenantry.kube.schema.regex import RegexError, find_all, pattern, syntax_error


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("(", "missing closing ): `(`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("\\C", "invalid escape sequence: `\\C`"),
        ("(?P<ä>a)", "invalid named capture: `(?P<ä>`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (")", "unexpected ): `)`"),
        ("^a+$", None),
        ("[[:alpha:]]", None),
    ],
)
def test_syntax(source: str, text: str | None) -> None:
    assert syntax_error(source) == (f"error parsing regexp: {text}" if text else None)


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-b", True),
        ("^a$", "a\n", False),
        ("b", "abc", True),
        (r"^\d+$", "٣", False),
        ("^[[:alpha:]]+$", "abc", True),
        (r"^\pL+$", "äß", True),
        ("(?i)^abc$", "ABC", True),
        (r"^a{2,3}$", "aaaa", False),
        ("^(a|b)$|^c", "c", True),
    ],
)
def test_match(source: str, text: str, expected: bool) -> None:
    assert pattern(source).matches(text) is expected


@pytest.mark.parametrize("source", ["^(a+)+$", "^(a|a)*$", "(x+x+)+y", "^.*a.*b.*c.*d$"])
def test_hostile_patterns_are_cheap(source: str) -> None:
    started = time.process_time()
    assert not pattern(source).matches("a" * 5000 + "!x" * 2000)
    assert time.process_time() - started < 1


def test_a_pattern_of_few_characters_knows_how_large_it_is() -> None:
    assert pattern("^a+$").steps("a" * 100_000) == 0
    assert pattern(".{1000}").steps("a" * 1000) > 1_000_000
    for source in (r"\pL{1000}", r"\pL" * 300, "(?:(?:a{10}){10}b{900}){11}", "[a-zé]" * 20_000):
        assert syntax_error(source) == "error parsing regexp: expression too large"


def free(units: float) -> None:
    """What charges nothing."""


def test_find_all() -> None:
    assert find_all("[0-9]+", "a1b22c333", -1, free) == ["1", "22", "333"]
    assert find_all("[0-9]+", "a1b22c333", 2, free) == ["1", "22"]
    with pytest.raises(RegexError):
        find_all("(", "a", -1, free)


GOOD_AND_BAD = {
    "date": ("2020-01-31", "2020-13-01"),
    "date-time": ("2020-01-01T00:00:00.5+02:00", "2020-01-01"),
    "uuid": ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
    "ipv4": ("1.2.3.4", "1.2.3"),
    "ipv6": ("::1", "1.2.3.4"),
    "cidr": ("10.0.0.0/8", "10.0.0.0"),
    "uri": ("http://a/b", "not a uri"),
    "hostname": ("a.example", "a b"),
    "email": ("a@b.c", "a"),
    "byte": ("YQ==", "***"),
    "duration": ("1h5m", "five"),
    "mac": ("01:02:03:04:05:06", "01:02"),
    "isbn10": ("0306406152", "0306406153"),
    "isbn13": ("9780306406157", "9780306406158"),
    "creditcard": ("4111111111111111", "4111111111111112"),
    "hexcolor": ("#fff", "#ff"),
    "rgbcolor": ("rgb(1,2,3)", "rgb(1,2,300)"),
    "ssn": ("111-22-3333", "1-2"),
    "bsonobjectid": ("507f1f77bcf86cd799439011", "507f"),
}


@pytest.mark.parametrize("name", GOOD_AND_BAD)
def test_formats(name: str) -> None:
    check = formats.find(name)
    assert check is not None
    good, bad = GOOD_AND_BAD[name]
    assert (check(good), check(bad)) == (True, False)


@pytest.mark.parametrize(
    ("name", "kind", "known"),
    [
        ("date-time", "string", True),
        ("datetime", "", True),
        ("cidr", "string", True),
        ("cidr", "array", False),
        ("frob", "string", False),
        ("int32", "string", False),
        ("int32", "integer", True),
        ("int32", "number", False),
        ("uint32", "integer", False),
        ("double", "number", True),
        ("double", "boolean", False),
    ],
)
def test_known_formats(name: str, kind: str, known: bool) -> None:
    """Of which types they are known: strings (and what has no type), integers and numbers have their own, others none."""
    assert formats.is_known(name, kind) is known
