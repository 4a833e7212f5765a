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
_GROUPS = 8
_HEXADECIMAL = "0123456789abcdefABCDEF"
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
            raise ValueError(_ipv6_problem(address)) from None
    raise ValueError("missing IPv6 address" if first == "%" else "unable to parse IP")


def _ipv4_problem(text: str) -> str:
    value = digits = dots = 0
    for place, character in enumerate(text):
        if "0" <= character <= "9":
            if digits == 1 and not value:
                return "IPv4 field has octet with leading zero"
            value = value * 10 + int(character)
            digits += 1
            if value > 255:
                return "IPv4 field has value >255"
        elif character != ".":
            return f"unexpected character (at {quote(text[place:])})"
        elif not digits or place == len(text) - 1:
            return f"IPv4 field must have at least one digit (at {quote(text[place:])})"
        elif dots == 3:
            return "IPv4 address too long"
        else:
            dots += 1
            value = digits = 0
    return "" if dots == 3 else "IPv4 address too short"


def _ipv6_problem(address: str) -> str:
    """Why an address is none, found in the order in which Go reads: groups of digits with a colon behind, and one gap."""
    has_gap = address.startswith("::")
    rest = address[2:] if has_gap else address
    groups = 0
    while groups < _GROUPS:
        after = rest.lstrip(_HEXADECIMAL)
        digits = len(rest) - len(after)
        if digits > _GROUP_DIGITS:
            return f"each group must have 4 or less digits (at {quote(rest)})"
        if not digits:
            return f"each colon-separated field must have at least one digit (at {quote(rest)})"
        if after.startswith("."):
            return _embedded_problem(rest, groups, has_gap=has_gap)
        groups += 1
        rest = after
        if not rest:
            break
        if rest[0] != ":":
            return f"unexpected character, want colon (at {quote(rest)})"
        if rest == ":":
            return f"colon must be followed by more characters (at {quote(rest)})"
        rest = rest[1:]
        if rest[0] == ":":
            if has_gap:
                return f"multiple :: in address (at {quote(rest)})"
            has_gap = True
            rest = rest[1:]
            if not rest:
                break
    if rest:
        return f"trailing garbage after address (at {quote(rest)})"
    return "the :: must expand to at least one field of zeros" if has_gap else "address string too short"


def _embedded_problem(rest: str, groups: int, *, has_gap: bool) -> str:
    """The same for an address that ends as one of version 4, after some groups."""
    if not has_gap and groups != _GROUPS - 2:
        return f"embedded IPv4 address must replace the final 2 fields of the address (at {quote(rest)})"
    if groups > _GROUPS - 2:
        return f"too many hex fields to fit an embedded IPv4 at the end of the address (at {quote(rest)})"
    return _ipv4_problem(rest) or "the :: must expand to at least one field of zeros"


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
