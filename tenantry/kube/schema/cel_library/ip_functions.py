"""Kubernetes' CEL functions of IP addresses and networks."""

from __future__ import annotations

import ipaddress
from typing import Any

from tenantry.kube.schema import ip_and_url
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_functions.arguments import text_of
from tenantry.kube.schema.cel_library.declarations import Declarations, access_to, opaque, reads
from tenantry.kube.schema.cel_values import Cost, Opaque, size

FUNCTIONS = Declarations()


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
        raise CelError(str(error)) from None
    return Opaque("CIDR", network)


def _is_canonical(cost: Cost, text: Any) -> bool:
    return bool(str(_ip(cost, text).value) == text)


def _read(cost: Cost, value: Any, kind: str) -> Any:
    """The address or network that a value is, or that its text contains."""
    if type(value) is str:
        return (_ip(cost, value) if kind == "IP" else _cidr(cost, value)).value
    return opaque(value, kind)


def _contains_ip(cost: Cost, cidr: Any, address: Any) -> bool:
    cost.charge(2 * size(cidr) * 0.1)
    return _read(cost, address, "IP") in opaque(cidr, "CIDR").network


def _contains_cidr(cost: Cost, cidr: Any, inner: Any) -> bool:
    cost.charge(3 * size(cidr) * 0.1 + 1)
    outer, within = opaque(cidr, "CIDR").network, _read(cost, inner, "CIDR")
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


FUNCTIONS.function("ip", "string", "IP", _ip)
FUNCTIONS.function("isIP", "string", "bool", reads(_ip))
FUNCTIONS.function("ip.isCanonical", "string", "bool", _is_canonical)
FUNCTIONS.member("family", "IP", "int", access_to("IP", lambda address: address.version))
FUNCTIONS.member("isUnspecified", "IP", "bool", access_to("IP", lambda address: address.is_unspecified))
FUNCTIONS.member("isLoopback", "IP", "bool", access_to("IP", lambda address: address.is_loopback))
FUNCTIONS.member("isLinkLocalUnicast", "IP", "bool", access_to("IP", lambda address: address.is_link_local))
FUNCTIONS.member(
    "isLinkLocalMulticast", "IP", "bool", access_to("IP", lambda address: any(address in net for net in _MULTICAST_LINK_LOCAL))
)
FUNCTIONS.member("isGlobalUnicast", "IP", "bool", access_to("IP", _is_global_unicast))
FUNCTIONS.function("cidr", "string", "CIDR", _cidr)
FUNCTIONS.function("isCIDR", "string", "bool", reads(_cidr))
for _type in ("string", "IP"):
    FUNCTIONS.member("containsIP", f"CIDR {_type}", "bool", _contains_ip)
for _type in ("string", "CIDR"):
    FUNCTIONS.member("containsCIDR", f"CIDR {_type}", "bool", _contains_cidr)
FUNCTIONS.member("ip", "CIDR", "IP", _ip)
FUNCTIONS.member("masked", "CIDR", "CIDR", _masked)
FUNCTIONS.member("prefixLength", "CIDR", "int", access_to("CIDR", lambda cidr: cidr.network.prefixlen))
