"""IP addresses in URLs, and the addresses that a process listens on."""

from __future__ import annotations

WILDCARDS = ("0.0.0.0", "::")
"""Addresses that a process can listen on but that are not valid destinations."""


def bracketed(address: str) -> str:
    """An address as it is written before a port, with an IPv6 address in brackets."""
    return f"[{address}]" if ":" in address else address


def from_here(address: str) -> str:
    """The address by which a process on the same machine reaches a server that listens on `address`."""
    return bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address))
