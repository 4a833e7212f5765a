"""URIs as Go's url.ParseRequestURI accepts them, which is the check of the format `uri`."""

from __future__ import annotations

import ipaddress
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(?=:)")
_ESCAPED = re.compile(r"[^%]*+(?:%[0-9A-Fa-f]{2}[^%]*+)*+")
_USER = re.compile(r"(?:[A-Za-z0-9\-._:~!$&'()*+,;=@]++|%[0-9A-Fa-f]{2})*+")
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!\"$&'()*+,:;<=>\[\]\x80-\U0010ffff]++|%25|%[89A-Fa-f][0-9A-Fa-f])*+")
"""A host may escape only bytes beyond ASCII, and the percent sign."""
_ZONE = re.compile(
    r"(?:[A-Za-z0-9\-._~!\"$&'()*+,:;<=>\[\]\x80-\U0010ffff]++|%25|%20|"
    r"%2[124-9A-Ea-e]|%3[0-9A-Ea-e]|%[46][1-9A-Fa-f]|%5[0-9ABDFabdf]|%7[0-9AEae])*+"
)
_PORT = re.compile(r"(?::[0-9]*)?")
_ADDRESS_LENGTH_MAX = 256


def is_request_uri(text: str) -> bool:
    """Whether a text is an absolute URI or an absolute path, without a fragment of its own (`#` counts as part of the path)."""
    if not text or _CONTROL.search(text) is not None:
        return False
    if text == "*":
        return True
    scheme, rest = "", text
    found = _SCHEME.match(text)
    if found is not None:
        scheme, rest = found.group().lower(), text[found.end() + 1 :]
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        return bool(scheme)
    if scheme and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        if not _is_authority(scheme, authority):
            return False
    return _ESCAPED.fullmatch(rest) is not None


def _is_authority(scheme: str, authority: str) -> bool:
    user, at, host = authority.rpartition("@")
    return _is_host(scheme, host) and (not at or _USER.fullmatch(user) is not None)


def _is_host(scheme: str, host: str) -> bool:
    opening = host.rfind("[")
    if opening > 0:
        return False
    if opening == 0:
        closing = host.rfind("]")
        return closing > 0 and _PORT.fullmatch(host, closing + 1) is not None and _is_address(host[1:closing])
    first = host.find(":")
    if first >= 0:
        # A port begins at the first colon for http and at the last one for other schemes.
        colon = first if scheme in ("http", "https") else host.rfind(":")
        if _PORT.fullmatch(host, colon) is None:
            return False
    return _HOST.fullmatch(host) is not None


def _is_address(text: str) -> bool:
    """An IPv6 address in brackets, with a zone after `%25`."""
    if len(text) > _ADDRESS_LENGTH_MAX:
        return False
    address, percent, zone = text.partition("%25")
    if _HOST.fullmatch(address) is None or (percent and (not zone or _ZONE.fullmatch(percent + zone) is None)):
        return False
    try:
        return "%" not in address and ipaddress.IPv6Address(address) is not None
    except ValueError:
        return False
