"""Which addresses the server calls where a tenant names them (webhooks), so that no tenant reaches services of the operator by
it (server-side request forgery).

A text has names and networks, separated by commas: `public` (addresses that are routed on the internet), `loopback`, `private`
(RFC 1918, RFC 4193 and RFC 6598), `any`, or a network as `10.1.0.0/16`. Link-local addresses, where clouds have their metadata,
are only reached where their network is named, or by `any`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PRIVATE = tuple(
    ipaddress.ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
"""Python takes these for global addresses. RFC 3879 has abolished them, and machines still route them."""


def _private(address: Address) -> bool:
    return any(address in network for network in _PRIVATE)


def _public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _SITE_LOCAL


_NAMED: dict[str, Callable[[Address], bool]] = {
    "public": _public,
    "loopback": lambda address: address.is_loopback,
    "private": _private,
    "any": lambda address: True,
}


class ReachableNetworks:
    """The addresses that may be called."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a word that is neither a name nor a network."""
        self.text = text
        self._rules: list[Callable[[Address], bool]] = []
        for word in (word.strip() for word in text.split(",")):
            if not word:
                continue
            rule = _NAMED.get(word)
            if rule is None:
                rule = _within(word)
            self._rules.append(rule)

    def allow(self, text: str) -> bool:
        """Whether an address (as text, without a port) may be called."""
        try:
            address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            return False
        return any(rule(address) for rule in self._rules)


def _within(word: str) -> Callable[[Address], bool]:
    try:
        network = ipaddress.ip_network(word)
    except ValueError as error:
        raise ValueError(f"{word!r} is none of {', '.join(_NAMED)} and no network: {error}") from None
    return lambda address: address in network


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does: it decides where packets go."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
