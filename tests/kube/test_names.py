"""Names as kube-apiserver accepts and refuses them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube import names
from tenantry.kube.names import (
    config_key_errors,
    dns1123_label_errors,
    dns1123_subdomain_errors,
    label_value_errors,
    path_segment_errors,
    qualified_name_errors,
)


@pytest.mark.parametrize("name", ["a", "9", "a.b-c.d", "x" * 253])
def test_good_subdomains(name: str) -> None:
    assert dns1123_subdomain_errors(name) == []


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dash-", "a..b", ".a", "a b", "a/b", "ä", "a.-b", "%", "a\n"])
def test_bad_subdomains(name: str) -> None:
    (text,) = dns1123_subdomain_errors(name)
    assert text.startswith("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'")
    assert "(e.g. 'example.com', regex used for validation is '[a-z0-9]" in text


def test_too_long_subdomain() -> None:
    assert dns1123_subdomain_errors("x" * 254) == ["must be no more than 253 characters"]


def test_prefix_may_end_in_a_dash() -> None:
    assert dns1123_subdomain_errors("gen-", prefix=True) == []
    assert dns1123_subdomain_errors("dot.", prefix=True) != []


def test_labels_say_what_is_wrong_with_dots() -> None:
    assert dns1123_label_errors("a.b") == ["must not contain dots"]
    assert dns1123_label_errors("x" * 64) == ["must be no more than 63 characters"]


def test_path_segments() -> None:
    assert path_segment_errors("system:odd_Name ä") == []
    assert path_segment_errors("..") == ["may not be '..'"]
    assert path_segment_errors("..", prefix=True) == []
    assert path_segment_errors("a/%") == ["may not contain '/'", "may not contain '%'"]


def test_qualified_names() -> None:
    assert qualified_name_errors("example.com/a_b.c-d") == []
    assert qualified_name_errors("k" * 64) == ["name part must be no more than 63 bytes"]
    assert qualified_name_errors("p" * 254 + "/k") == ["prefix part must be no more than 253 bytes"]
    assert qualified_name_errors("")[0] == "name part must be non-empty"
    assert qualified_name_errors("/a") == ["prefix part must be non-empty"]
    assert qualified_name_errors("a/b/c")[0].startswith("a valid label key must consist of alphanumeric characters")


def test_label_values() -> None:
    assert label_value_errors("") == []
    assert label_value_errors("A_b.c-9") == []
    assert label_value_errors("v" * 64) == ["must be no more than 63 bytes"]
    assert label_value_errors("b-")[0].startswith("a valid label must be an empty string or consist of")


@pytest.mark.parametrize(
    ("key", "text"),
    [("..", "must not be '..'"), (".", "must not be '.'"), ("..a", "must not start with '..'")],
)
def test_config_keys(key: str, text: str) -> None:
    assert config_key_errors(key) == [text]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab9-._", min_size=1, max_size=20))
def test_every_label_is_a_subdomain(name: str) -> None:
    if not dns1123_label_errors(name):
        assert not dns1123_subdomain_errors(name)
        assert not qualified_name_errors(name)
        assert not label_value_errors(name)


@pytest.mark.parametrize(
    "check", ["_is_label", "_is_subdomain", "_is_dns1035", "_is_qualified", "_is_label_value", "_is_config_key"]
)
@given(text=st.text(st.sampled_from("a0Z-._ é\n"), max_size=24), window=st.integers(1, 6))
def test_a_long_text_is_looked_at_in_steps_and_judged_the_same(check: str, text: str, window: int) -> None:
    at_once = getattr(names, check)(text)
    known, names._WINDOW = names._WINDOW, window
    try:
        assert getattr(names, check)(text) == at_once
    finally:
        names._WINDOW = known
