"""Parses URLs, IP addresses and networks in tenants' texts, in one pass and without a cache.

The standard library is not used, because it caches: `urllib.parse.urlsplit` its arguments, and `ipaddress` the prefix lengths as
they were written.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

_LONGEST_ADDRESS = 64
_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class URL(NamedTuple):
    """A parsed URL. `host` includes the port, `hostname` does not. `path` is escaped as it was written."""

    scheme: str
    user: str
    host: str
    path: str
    query: str
    fragment: str

    @property
    def port(self) -> str:
        _, colon, port = self.host.rpartition(":")
        return port if colon and port.isdecimal() else ""

    @property
    def hostname(self) -> str:
        name, colon, port = self.host.rpartition(":")
        without = name if colon and "]" not in port else self.host
        return without.removeprefix("[").removesuffix("]")


def url(text: str) -> URL:
    """A URL with a scheme or an absolute path. Raises ValueError."""
    scheme, rest = _scheme(text)
    if not (scheme or text.startswith("/")) or any(character <= " " for character in text):
        raise ValueError(f"parse {text[:1024]!r}: invalid URI for request")
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority = ""
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
    user, _, host = authority.rpartition("@")
    if ("[" in host) != ("]" in host):
        raise ValueError(f"parse {text[:1024]!r}: missing ']' in host")
    return URL(scheme, user, host, rest, query, fragment)


def _scheme(text: str) -> tuple[str, str]:
    head, colon, rest = text.partition(":")
    if colon and head and head[0].isascii() and head[0].isalpha() and all(character in _SCHEME for character in head):
        return head.lower(), rest
    return "", text


def ip(text: str) -> Address:
    """An address in the form that Kubernetes accepts: no zone, no IPv4 in IPv6. Raises ValueError."""
    if len(text) > _LONGEST_ADDRESS:
        raise ValueError(f"IP Address {text[:_LONGEST_ADDRESS]!r} parse error during conversion from string")
    if "%" in text:
        raise ValueError(f"IP address {text!r} with zone value is not allowed")
    found = ipaddress.ip_address(text)
    if found.version == 6 and ("." in text or found.ipv4_mapped is not None):
        raise ValueError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return found


def cidr(text: str) -> Interface:
    """An address with a prefix length. Raises ValueError."""
    address, slash, length = text.partition("/") if len(text) <= _LONGEST_ADDRESS else ("", "", "")
    if not slash or not length.isdecimal() or not length.isascii() or (len(length) > 1 and length.startswith("0")):
        raise ValueError(f"network address parse error during conversion from string: {text[:_LONGEST_ADDRESS]!r} is no CIDR")
    return ipaddress.ip_interface((ip(address), int(length)))
