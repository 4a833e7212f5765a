"""Which texts are addresses that others can put into a URL."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tenantry.http.listen_addresses import bracketed, is_host


@pytest.mark.parametrize("text", ["shard-1", "a.example.com.", "my_host", "10.0.0.1", "::1", "fd00::5"])
def test_hosts(text: str) -> None:
    assert is_host(text)
    assert urlsplit(f"https://{bracketed(text)}:6443").port == 6443


@pytest.mark.parametrize("text", ["", "host:443", "[::1]", "https://host", "a b", "a/b", "user@host", "-a", "10.0.0.1:6443"])
def test_no_hosts(text: str) -> None:
    assert not is_host(text)
