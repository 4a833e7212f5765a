"""Network addresses as Kubernetes has always stored them: Go's parsers, with leading zeros where these were once allowed
(k8s.io/utils/net, `ParseIPSloppy` and `ParseCIDRSloppy`)."""

from __future__ import annotations

import ipaddress
import re

LENGTH_MAX = 256
"""A longer text is refused. Upstream has no limit for leading zeros."""
_DECIMAL = re.compile(r"[0-9]+")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_MAC = re.compile(
    r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}(?:(?:[0-9A-Fa-f]{2}\1){2}(?:(?:[0-9A-Fa-f]{2}\1){12})?)?[0-9A-Fa-f]{2}|"
    r"(?:[0-9A-Fa-f]{4}\.){2}(?:[0-9A-Fa-f]{4}\.(?:(?:[0-9A-Fa-f]{4}\.){6})?)?[0-9A-Fa-f]{4}|"
    r"[0-9A-Fa-f]{12}(?:[0-9A-Fa-f]{4}(?:[0-9A-Fa-f]{24})?)?"
)


def is_dotted(text: str) -> bool:
    """The format `ipv4`: an address with dots in it, which an IPv6 address may end with."""
    if len(text) > LENGTH_MAX or "." not in text:
        return False
    dot, colon = text.find("."), text.find(":")
    return _is_ipv6(text) if 0 <= colon < dot else _is_ipv4(text)


def is_ipv6(text: str) -> bool:
    """The format `ipv6`: no leading zeros, no zone."""
    if len(text) > LENGTH_MAX or ":" not in text or "%" in text:
        return False
    try:
        return ipaddress.IPv6Address(text) is not None
    except ValueError:
        return False


def is_cidr(text: str) -> bool:
    """The format `cidr`. The address need not be the first of its network."""
    address, slash, length = text.partition("/")
    if len(text) > LENGTH_MAX or not slash or _DECIMAL.fullmatch(length) is None:
        return False
    return int(length) <= (32 if _is_ipv4(address) else 128 if _is_ipv6(address) else -1)


def is_mac(text: str) -> bool:
    """The format `mac`: 6, 8 or 20 bytes (net.ParseMAC)."""
    return _MAC.fullmatch(text) is not None


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(_DECIMAL.fullmatch(part) is not None and int(part) <= 255 for part in parts)


def _is_ipv6(text: str) -> bool:
    before, ellipsis, after = text.partition("::")
    if not ellipsis:
        return _groups(text) == 8
    counts = [_groups(part) if part else 0 for part in (before, after)]
    return "::" not in after and not after.startswith(":") and min(counts) >= 0 and sum(counts) <= 7 and "." not in before


def _groups(text: str) -> int:
    """How many groups of 16 bits a part of an IPv6 address has, -1 where it is none."""
    *groups, last = text.split(":")
    if "." in last:
        if not _is_ipv4(last) or _HEX.match(last) is None:
            return -1
        count = 2
    else:
        groups.append(last)
        count = 0
    if any(_HEX.fullmatch(group) is None or int(group, 16) > 0xFFFF for group in groups):
        return -1
    return len(groups) + count
