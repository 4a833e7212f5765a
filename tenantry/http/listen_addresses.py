"""IP addresses in URLs, and the addresses that a process listens on."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress

WILDCARDS = ("0.0.0.0", "::")
"""Addresses that a process can listen on but that are not valid destinations."""

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?")


def is_host(text: str) -> bool:
    """Whether a text is a host name or an IP address, without a port and without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(text) is not None
    return True


def bracketed(address: str) -> str:
    """An address as it is written before a port, with an IPv6 address in brackets."""
    return f"[{address}]" if ":" in address else address


def from_here(address: str) -> str:
    """The address by which a process on the same machine reaches a server that listens on `address`."""
    return bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address))


def own_address(target: str) -> str:
    """The local address from which this machine reaches `target` (`host:port`). Sends nothing. Raises OSError if there is
    none."""
    host, _, port = target.rpartition(":")
    for family, kind, _, _, address in socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM):
        with suppress(OSError), socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    raise OSError(f"cannot find the address of this process, because there is no route to {target}; set --advertise-address")
