"""Addresses as they are written."""

from __future__ import annotations

WILDCARDS = ("0.0.0.0", "::")
"""To listen on; nobody can be reached by them."""


def bracketed(address: str) -> str:
    """As it stands before a port: IPv6 addresses in brackets."""
    return f"[{address}]" if ":" in address else address


def from_here(address: str) -> str:
    """Where to reach, from this machine, what listens on an address."""
    return bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address))
