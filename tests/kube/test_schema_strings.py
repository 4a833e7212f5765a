"""Patterns with RE2's meaning, and formats."""

from __future__ import annotations

import time

import pytest

from tenantry.kube.schema import formats
from tenantry.kube.schema.regex import find_all, matcher, syntax_error


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(", "missing closing ): `(`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("^a+$", None),
        ("[[:alpha:]]", None),
    ],
)
def test_syntax(pattern: str, text: str | None) -> None:
    assert syntax_error(pattern) == (f"error parsing regexp: {text}" if text else None)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
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
def test_match(pattern: str, text: str, expected: bool) -> None:
    assert matcher(pattern)(text) is expected


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(x+x+)+y", "^.*a.*b.*c.*d$"])
def test_hostile_patterns_are_cheap(pattern: str) -> None:
    started = time.process_time()
    assert not matcher(pattern)("a" * 5000 + "!x" * 2000)
    assert time.process_time() - started < 1


def test_find_all() -> None:
    assert find_all("[0-9]+", "a1b22c333", -1) == ["1", "22", "333"]
    assert find_all("[0-9]+", "a1b22c333", 2) == ["1", "22"]
    with pytest.raises(ValueError):
        find_all("(", "a", -1)


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


def test_known_formats() -> None:
    assert formats.is_known("int32")
    assert not formats.is_known("frob")
