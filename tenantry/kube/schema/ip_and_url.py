"""Parses URLs, IP addresses and networks in tenants' texts, in one pass and without a cache.

The standard library is not used, because it caches: `urllib.parse.urlsplit` its arguments, and `ipaddress` the prefix lengths as
they were written.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from tenantry.kube.go_text import quote

_LONGEST_ADDRESS = 64
_SHOWN = 1024
_GROUP_DIGITS, _BITS_DIGITS = 4, 4
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
    """An address in the form that Kubernetes accepts: no zone, no IPv4 in IPv6. Raises ValueError with Go's text (net/netip)."""
    shown = quote(text[:_SHOWN])
    try:
        found = _address(text)
    except ValueError as error:
        raise ValueError(f"IP Address {shown} parse error during conversion from string: ParseAddr({shown}): {error}") from None
    if "%" in text:
        raise ValueError(f"IP address {shown} with zone value is not allowed")
    if found.version == 6 and found.ipv4_mapped is not None:
        raise ValueError(f"IPv4-mapped IPv6 address {shown} is not allowed")
    return found


def address_problem(text: str) -> str:
    """Why a text is no address for Go, with or without a zone; empty where it is one."""
    try:
        _address(text)
    except ValueError as error:
        return str(error)
    return ""


def _address(text: str) -> Address:
    """Raises ValueError with the reason of Go."""
    first = next((character for character in text if character in ".:%"), "")
    if first == ".":
        problem = _ipv4_problem(text) if len(text) <= _LONGEST_ADDRESS else "IPv4 address too long"
        if problem:
            raise ValueError(problem)
        return ipaddress.IPv4Address(text)
    if first == ":":
        address, percent, zone = text.partition("%")
        if percent and not zone:
            raise ValueError("zone must be a non-empty string")
        if len(address) > _LONGEST_ADDRESS:
            raise ValueError("trailing garbage after address")
        try:
            return ipaddress.IPv6Address(address)
        except ValueError:
            raise ValueError(_ipv6_problem(address, text)) from None
    raise ValueError("missing IPv6 address" if first == "%" else "unable to parse IP")


def _ipv4_problem(text: str) -> str:
    parts = text.split(".")
    position = 0
    for part in parts:
        if not part:
            first = f"IPv4 field must have at least one digit (at {quote(text[position:])})"
            return first if position < len(text) else "IPv4 address too short"
        if not part.isdecimal() or not part.isascii():
            wrong = next(place for place, character in enumerate(part) if not "0" <= character <= "9")
            return f"unexpected character (at {quote(text[position + wrong :])})"
        if len(part) > 1 and part.startswith("0"):
            return "IPv4 field has octet with leading zero"
        if int(part) > 255:
            return "IPv4 field has value >255"
        position += len(part) + 1
    return "" if len(parts) == 4 else "IPv4 address too short" if len(parts) < 4 else "IPv4 address too long"


def _ipv6_problem(address: str, text: str) -> str:
    rest = address
    while rest:
        field, _, after = rest.partition(":")
        digits = len(field) - len(field.lstrip("0123456789abcdefABCDEF"))
        if not digits and field:
            return f"each colon-separated field must have at least one digit (at {quote(rest)})"
        if digits > _GROUP_DIGITS:
            return f"each group must have 4 or fewer digits (at {quote(rest)})"
        if digits < len(field):
            return f"unexpected character, want colon (at {quote(rest[digits:])})"
        rest = after
    return "address string too short" if address else f"unable to parse IP (at {quote(text)})"


def cidr(text: str) -> Interface:
    """An address with a prefix length. Raises ValueError with Go's text."""
    address, slash, length = text.rpartition("/")
    shown = quote(text[:_SHOWN])
    before = f"network address parse error during conversion from string: netip.ParsePrefix({shown}): "
    if not slash:
        raise ValueError(f"{before}no '/'")
    try:
        found = _address(address)
    except ValueError as error:
        raise ValueError(f"{before}ParseAddr({quote(address[:_SHOWN])}): {error}") from None
    if "%" in address:
        raise ValueError(f"{before}IPv6 zones cannot be present in a prefix")
    if not length.isdecimal() or not length.isascii() or (len(length) > 1 and not "1" <= length[0] <= "9"):
        raise ValueError(f"{before}bad bits after slash: {quote(length[:_SHOWN])}")
    if len(length) > _BITS_DIGITS or int(length) > found.max_prefixlen:
        raise ValueError(f"{before}prefix length out of range")
    if found.version == 6 and found.ipv4_mapped is not None:
        raise ValueError(f"IPv4-mapped IPv6 address {shown} is not allowed")
    return ipaddress.ip_interface((found, int(length)))
