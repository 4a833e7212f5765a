"""Addresses and networks that are valid, but not written as everybody writes them (utilvalidation.GetWarningsForIP)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.kube.go_text import quote
from tenantry.kube.workloads.validation.checks import address_of


def address_warnings(path: str, value: str) -> Iterator[str]:
    address = address_of(value)
    if address is not None and address.version == 6 and str(address) != value:
        yield f"{path}: IPv6 address {quote(value)} should be in RFC 5952 canonical format ({quote(str(address))})"


def network_warnings(path: str, value: str) -> Iterator[str]:
    address, slash, bits = value.partition("/")
    parsed = address_of(address)
    if slash and parsed is not None and parsed.version == 6 and str(parsed) != address:
        yield f"{path}: IPv6 CIDR value {quote(value)} should be in RFC 5952 canonical format ({quote(f'{parsed}/{bits}')})"
