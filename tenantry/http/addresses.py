"""IP addresses as they are written in URLs, and those that a process listens on."""

from __future__ import annotations

WILDCARDS = ("0.0.0.0", "::")
"""Addresses to listen on, by which nothing can be reached."""


def bracketed(address: str) -> str:
    """An address as it is written before a port: IPv6 addresses in brackets."""
    return f"[{address}]" if ":" in address else address


def from_here(address: str) -> str:
    """The address by which a process of this machine reaches what listens on `address`."""
    return bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address))
