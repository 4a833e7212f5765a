"""Formats, as kube-apiserver checks them: each text was given to its library (k8s.io/kube-openapi, `strfmt`)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.schema import formats

_MISPLACED = ["=?utf-8?q??= <a@b>", "=?utf-8?b??= =?utf-8?q??= <a@b>", "=?utf-8?q?x?= (c) <a@b>"]
"""Encoded words without a text before an address, and one with a comment behind it."""

ACCEPTED_AND_REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "duration": (
        [
            "in 5 minutes please",
            "1.5 days",
            "-5m",
            "1h30",
            "1 day",
            "P1D",
            "1h30m",
            "-5s",
            "3 WEEKS",
            "1.5h",
            "0",
            "+0",
            ".5s",
            "1µs",
        ],
        ["", "5", "90", "9223372036854775808ns", "9223372036854775808 days", "5 fortnights"],
    ),
    "date-time": (
        [
            "2026-01-01T10:00:00ZTjunk",
            "2026-01-01t10:00:00z",
            "2026-01-01T10:00:00x5Z",
            "2020-01-01T00:00:00.123456789+01:00",
            "0000-02-29T00:00:00Z",
        ],
        [
            "2026-01-01T23:59:60Z",
            "2026-01-01T10:00:00+0000",
            "2026-01-01T24:00:00Z",
            "2020-01-01",
            "2020-01-01 00:00:00Z",
            "2026-02-30T00:00:00Z",
        ],
    ),
    "date": (["2020-02-29", "0000-02-29"], ["2020-02-30", "20200229", "2020-W01-1", "2020-1-1"]),
    "email": (
        [
            "Bob <bob@example.org>",
            "bob@localhost",
            "a@b",
            '"a b"@c',
            "a@[1.2.3.4]",
            "a@[::1]",
            "a@b (c (d))",
            "g: a@b;",
            "<a@b>",
            "=?utf-8?q?x?= <a@b>",
            "=?utf-8?q??= c <a@b>",
            "c (d) =?utf-8?q?x?= (e) <a@b>",
            "é@ü",
            " a@b",
        ],
        [
            "bob@example.org.",
            "a",
            "a@[x]",
            "a@b, c@d",
            "g: a@b, c@d;",
            "g:;",
            "a..b@c",
            "=?koi8-r?q?x?= <a@b>",
            "a@b\n",
            *_MISPLACED,
        ],
    ),
    "hostname": (["a-b.com", "a-", "☃.com", "a$.com"], ["a.b", "A-b.c", "-a", "a_b", "a" * 64, "a.b.c1", "ab-c"]),
    "ipv4": (["010.0.0.1", "::ffff:1.2.3.4", "01.2.3.4"], ["1.2.3", "::1", "256.1.1.1", "1.2.3.4.5"]),
    "ipv6": (["::1", "::ffff:1.2.3.4", "1:2:3:4:5:6:7::"], ["fe80::1%eth0", "1.2.3.4", "::ffff:01.2.3.4", "1::2::3", "00001::"]),
    "cidr": (["10.0.0.1/8", "10.0.0.0/08", "::/0", "010.0.0.0/8"], ["10.0.0.1/33", "10.0.0.0", "::/129", "1.2.3.4/-1"]),
    "mac": (
        ["01:23:45:67:89:ab", "01-23-45-67-89-ab", "0123.4567.89ab", "0123456789ab", "01:23:45:67:89:ab:cd:ef"],
        ["01:23-45:67:89:ab", "01:23:45:67:89"],
    ),
    "byte": (["YQ==", "aGk="], ["", "aGk", "***", "YQ=", "YW_-"]),
    "uri": (
        [
            "//h",
            "https://a.b/c?d#e",
            "/relative",
            "urn:x",
            "/a b",
            "http://[::1]/",
            "http://[fe80::1%25eth0]:8",
            "http://h/?%zz",
            "mailto:a@b",
            "*",
            "ftp://h:1:2/",
        ],
        [
            "foo",
            "http://h:port/",
            "a b",
            "http://[::1",
            "http://[1.2.3.4]/",
            "http://a b/",
            "http://h/%zz",
            "",
            "http://h:1:2/",
            "http://u ser@h/",
        ],
    ),
    "uuid4": (
        ["6ba7b810-9dad-41d1-80b4-00c04fd430c8"],
        ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b8109dad41d1c0b400c04fd430c8"],
    ),
    "creditcard": (["4111 1111 1111 1111"], ["4111", "9111111111111111"]),
    "ssn": (["111-22-3333"], ["111", "111223333"]),
    "isbn": (["978-0-306-40615-7", "0306406152"], ["123"]),
}


@pytest.mark.parametrize("name", ACCEPTED_AND_REFUSED)
def test_formats(name: str) -> None:
    check = formats.find(name)
    assert check is not None
    accepted, refused = ACCEPTED_AND_REFUSED[name]
    assert [text for text in accepted if not check(text)] == []
    assert [text for text in refused if check(text)] == []


_PARTS = st.sampled_from(
    [
        "1",
        "0",
        "::",
        ":",
        "/",
        ".",
        "@",
        "<",
        ">",
        "(",
        ")",
        '"',
        "\\",
        " ",
        "%",
        "a",
        "é",
        "\x00",
        "\ud7ff",
        "[",
        "]",
        "-",
        "t",
        "=",
    ]
)
texts = st.text(max_size=40) | st.lists(_PARTS, max_size=30).map("".join)


@given(st.sampled_from(sorted(ACCEPTED_AND_REFUSED)), texts)
def test_no_text_is_too_odd(name: str, text: str) -> None:
    check = formats.find(name)
    assert check is not None
    assert check(text) in (True, False)


@pytest.mark.parametrize("name", ACCEPTED_AND_REFUSED)
@pytest.mark.parametrize("part", ["1", "a", "(", '"', "%41", ":", "1.", " ", "a@", "=?a?q?", "-"])
def test_the_time_is_linear(name: str, part: str) -> None:
    check = formats.find(name)
    assert check is not None
    begun = time.process_time()
    check(part * 200_000)
    check(f"a{part * 200_000}!")
    check(f"http://{part * 200_000}")
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("name", ["creditcard", "isbn", "isbn10", "isbn13"])
def test_digits_with_many_signs_between_them_are_refused_at_once(name: str) -> None:
    check = formats.find(name)
    assert check is not None
    assert check("978-0-306-40615-7" if name in ("isbn", "isbn13") else "0306406152" if name == "isbn10" else "4111111111111111")
    text = "1-" * 1_000_000
    begun = time.process_time()
    assert not check(text)
    # Its search holds the interpreter lock until it ends.
    assert time.process_time() - begun < 0.01
