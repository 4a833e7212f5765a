"""Which addresses the server calls where a tenant names them."""

from __future__ import annotations

import pytest

from tenantry.http.reachable_networks import ReachableNetworks


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        (
            "public",
            ("8.8.8.8", "2606:4700::1111"),
            (
                *("127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1"),
                *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "fd00::1", "240.0.0.1"),
                *("100.64.0.1", "fec0::1", "64:ff9b:1::a9fe:a9fe", "::7f00:1"),
            ),
        ),
        ("loopback", ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"), ("8.8.8.8", "10.0.0.1", "0.0.0.0")),
        (
            "private",
            ("10.0.0.1", "172.16.0.1", "192.168.0.1", "fd00::1", "100.64.0.1"),
            ("127.0.0.1", "169.254.169.254", "8.8.8.8", "64:ff9b:1::a9fe:a9fe", "0.0.0.1", "198.18.0.1", "fec0::1"),
        ),
        ("10.1.0.0/16, loopback", ("10.1.2.3", "127.0.0.1"), ("10.2.0.1", "8.8.8.8")),
        ("any", ("169.254.169.254", "127.0.0.1", "8.8.8.8"), ("not an address", "")),
        ("", (), ("8.8.8.8", "127.0.0.1")),
    ],
)
def test_networks(text: str, allowed: tuple[str, ...], refused: tuple[str, ...]) -> None:
    networks = ReachableNetworks(text)
    assert [address for address in allowed if not networks.allow(address)] == []
    assert [address for address in refused if networks.allow(address)] == []


def test_words_that_are_no_networks() -> None:
    with pytest.raises(ValueError, match="'intranet' is none of public, loopback, private, any and no network"):
        ReachableNetworks("public,intranet")
