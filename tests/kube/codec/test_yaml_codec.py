"""YAML bodies and answers."""

from __future__ import annotations

import pytest

from tenantry.kube.codec.yaml_codec import decode, encode
from tenantry.kube.field_paths import ReportedPaths
from tenantry.kube.status import StatusError


def test_scalars_are_those_of_yaml_1_1() -> None:
    value, _ = decode(b"a: yes\nb: 'yes'\nc: 2020-01-01\nd: y\ne: 0x10\nf: ~\n1: one\n")
    assert value == {"a": True, "b": "yes", "c": "2020-01-01", "d": True, "e": 16, "f": None, "1": "one"}


def test_aliases_and_duplicates() -> None:
    value, duplicates = decode(b"a: &x {m: 1}\nb: *x\nc: 1\nc: 2\n", duplicates=True)
    assert value == {"a": {"m": 1}, "b": {"m": 1}, "c": 2}
    assert duplicates == ['line 4: key "c" already set in map']


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"a: [b", "yaml: line 1: did not find expected ',' or ']' (613a205b62)"),
        (
            b"metadata:\n\tname: x",
            "yaml: line 2: found character that cannot start any token (6d657461646174613a0a096e616d653a2078)",
        ),
    ],
)
def test_errors_name_the_line(body: bytes, text: str) -> None:
    with pytest.raises(StatusError) as refused:
        decode(body, kind="ConfigMap")
    assert refused.value.message == f"the object provided is unrecognized (must be of type ConfigMap): {text}"


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 9)]
    with pytest.raises(StatusError, match="excessive aliasing"):
        decode("\n".join(lines).encode())


def test_encoding_keeps_what_looks_like_something_else() -> None:
    text = encode({"b": [{"x": "yes"}], "a": "1", "c": "two\nlines\n"})
    assert text == b'a: "1"\nb:\n- x: "yes"\nc: |\n  two\n  lines\n'
    assert decode(text)[0] == {"b": [{"x": "yes"}], "a": "1", "c": "two\nlines\n"}


def test_text_that_reads_as_another_type_is_written_in_double_quotes() -> None:
    written = encode({"a": "1", "b": "", "c": "2020-01-01T00:00:00Z", "d": "a: b", "e": "y", "f": "plain"}).decode()
    assert written == 'a: "1"\nb: ""\nc: "2020-01-01T00:00:00Z"\nd: \'a: b\'\ne: "y"\nf: plain\n'


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{" * 100_000, b"- " * 50_000, b"? " * 50_000, b"a: " + b"[" * 300])
def test_what_nests_too_deeply_is_refused_and_does_not_end_the_process(body: bytes) -> None:
    with pytest.raises(StatusError, match="exceeded max depth"):
        decode(body)


def test_merges_of_merges_are_refused() -> None:
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(10)) + "}"]
    lines += [f"a{n}: &a{n} {{<<: [" + ", ".join([f"*a{n - 1}"] * 10) + "]}" for n in range(1, 12)]
    with pytest.raises(StatusError, match="excessive aliasing"):
        decode("\n".join(lines).encode())


def test_a_document_of_very_many_values_is_refused() -> None:
    with pytest.raises(StatusError, match="too many values"):
        decode(b"[" + b"1," * 300_000 + b"1]")


def test_merges() -> None:
    body = b"base: &b {k: 1, l: 1}\nmore: &m {l: 2, m: 2}\nall:\n  <<: [*b, *m]\n  k: 3\n"
    value, duplicates = decode(body, duplicates=True)
    assert value["all"] == {"k": 3, "l": 1, "m": 2}
    assert duplicates == ['line 1: key "l" already set in map', 'line 5: key "k" already set in map']


def test_numbers_are_gos() -> None:
    value, _ = decode(b"a: 12:30:45\nb: 1:30.5\nc: 18446744073709551615\nd: 18446744073709551616\ne: =\nf: 1e3\n")
    assert value == {"a": "12:30:45", "b": "1:30.5", "c": (1 << 64) - 1, "d": float(1 << 64), "e": "=", "f": 1000}


@pytest.mark.parametrize(
    "text",
    [".nan", ".inf", "-.inf", '!!int ""', "!!int x", "!!binary x", "&s {<<: *s, v: 1}", "{~: x}", "{18446744073709551615: x}"],
)
def test_what_json_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(StatusError):
        decode(f"a: {text}".encode())


@pytest.mark.parametrize(
    ("text", "value"),
    [("!!map x", "x"), ("0x" + "f" * 1000, "0x" + "f" * 1000), ("!!set {a}", {"a": None}), ("!!binary aGk=", "hi")],
)
def test_tags_and_numbers_that_go_does_not_know_are_text(text: str, value: object) -> None:
    assert decode(f"a: {text}".encode()) == ({"a": value}, [])


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (LAUGHS + "? *a8\n: x\n", "excessive aliasing"),
        ("a: &a [" + "x," * 30_000 + "]\n" + "? *a\n: 1\n" * 8000, r'invalid map key: \[\]interface \{\}\{"x", "x"'),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 8000)), "excessive aliasing"),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 8000)), "excessive aliasing"),
    ],
    ids=["a key", "one long key after another", "twice each", "once each"],
)
def test_a_refusal_shows_no_more_of_what_aliases_repeat_than_it_says(body: str, text: str) -> None:
    with pytest.raises(StatusError, match=text) as refused:
        decode(body.encode(), duplicates=True)
    assert len(refused.value.message) < 10_000


def test_reports_of_a_long_key_that_merges_repeat_are_bounded() -> None:
    key = "k" * 500_000
    body = f"a: &a {{? {key} : 1}}\nb: {{? {key} : 1, {'<<: *a, ' * 5000}}}"
    value, repeated = decode(body.encode(), duplicates=True)
    assert value == {"a": {key: 1}, "b": {key: 1}}
    assert len(repeated) == ReportedPaths.MAX
    assert max(map(len, repeated)) < 2000
