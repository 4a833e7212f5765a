"""Kubernetes' CEL functions of IP addresses and networks."""

from __future__ import annotations

import ipaddress
from typing import Any

from tenantry.kube.schema import ip_and_url
from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_functions.arguments import FunctionTable, text_of
from tenantry.kube.schema.cel_library.shared import access_to, opaque, reads
from tenantry.kube.schema.cel_values import Cost, Opaque, size

FUNCTIONS = FunctionTable()
_NO_COST = Cost(1 << 60)
"""For texts whose cost is charged already."""


def _ip(cost: Cost, value: Any) -> Opaque:
    """`ip(text)`, and `cidr.ip()`."""
    if type(value) is Opaque:
        cost.charge(1)
        return Opaque("IP", opaque(value, "CIDR").ip)
    cost.text(len(text_of(value)))
    try:
        return Opaque("IP", ip_and_url.ip(value))
    except ValueError as error:
        raise CelError(str(error)) from None


def _cidr(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        network = ip_and_url.cidr(text)
    except ValueError as error:
        raise CelError(f"network address parse error during conversion from string: {error}") from None
    return Opaque("CIDR", network)


def _is_canonical(cost: Cost, text: Any) -> bool:
    cost.text(len(text_of(text)), 2)
    return bool(str(_ip(_NO_COST, text).value) == text)


def _read(value: Any, kind: str) -> Any:
    """The address or network that a value is, or that its text contains."""
    if type(value) is str:
        return (_ip(_NO_COST, value) if kind == "IP" else _cidr(_NO_COST, value)).value
    return opaque(value, kind)


def _contains_ip(cost: Cost, cidr: Any, address: Any) -> bool:
    cost.text(2 * size(cidr))
    if type(address) is str:
        cost.text(len(address))
    network = opaque(cidr, "CIDR").network
    try:
        return _read(address, "IP") in network
    except NoOverload:
        raise
    except CelError:
        # As upstream, which takes what is no address for a value of another type.
        raise CelError("no such overload") from None


def _contains_cidr(cost: Cost, cidr: Any, inner: Any) -> bool:
    cost.text(2 * size(cidr))
    cost.text(size(cidr))
    cost.charge(1)
    if type(inner) is str:
        cost.text(len(inner))
    outer, within = opaque(cidr, "CIDR").network, _read(inner, "CIDR")
    return outer.version == within.version and outer.prefixlen <= within.network.prefixlen and within.ip in outer


def _is_global_unicast(address: Any) -> bool:
    broadcast = address.version == 4 and int(address) == 0xFFFFFFFF
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local or broadcast)


_MULTICAST_LINK_LOCAL = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def _masked(cost: Cost, cidr: Any) -> Opaque:
    cost.charge(1)
    network = opaque(cidr, "CIDR").network
    masked = ipaddress.ip_interface((network.network_address, network.prefixlen))
    return Opaque("CIDR", masked)


FUNCTIONS["ip", False] = _ip
FUNCTIONS["isIP", False] = reads(_ip)
FUNCTIONS["ip.isCanonical", False] = _is_canonical
FUNCTIONS["family", True] = access_to("IP", lambda address: address.version)
FUNCTIONS["isUnspecified", True] = access_to("IP", lambda address: address.is_unspecified)
FUNCTIONS["isLoopback", True] = access_to("IP", lambda address: address.is_loopback)
FUNCTIONS["isLinkLocalUnicast", True] = access_to("IP", lambda address: address.is_link_local)
FUNCTIONS["isLinkLocalMulticast", True] = access_to("IP", lambda address: any(address in net for net in _MULTICAST_LINK_LOCAL))

FUNCTIONS["isGlobalUnicast", True] = access_to("IP", _is_global_unicast)
FUNCTIONS["cidr", False] = _cidr
FUNCTIONS["isCIDR", False] = reads(_cidr)
FUNCTIONS["containsIP", True] = _contains_ip
FUNCTIONS["containsCIDR", True] = _contains_cidr
FUNCTIONS["ip", True] = _ip
FUNCTIONS["masked", True] = _masked
FUNCTIONS["prefixLength", True] = access_to("CIDR", lambda cidr: cidr.network.prefixlen)
