"""The `format` keyword for strings: the formats that kube-apiserver checks (k8s.io/kube-openapi/pkg/validation/strfmt)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime

from tenantry.kube.names import dns1123_label_errors, dns1123_subdomain_errors
from tenantry.kube.schema.ip_and_url import url

Format = Callable[[str], bool]

_DURATION_WORDS = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ns|nanos?|nanoseconds?|us|µs|μs|micros?|microseconds?|ms|millis?|milliseconds?|"
    r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)",
    re.ASCII,
)
_ADDRESS_LENGTH_MAX = 256
_DURATION_LENGTH_MAX = 256
"""A longer text is refused as a duration, because both patterns may take quadratic time for a row of digits."""
_GO_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_LABEL = r"(?:[^\W_](?:[^\W_]|-){0,61}|[^\W_](?:[^\W_]|-){61}[^\W_])"
"""A label of a hostname, except the last one. It can match in only one way; otherwise the time would double with every label."""
_HOSTNAME = re.compile(rf"[^\W_](?:-?[^\W_]{{0,62}})?|(?:{_LABEL}\.)+[^\W\d_]{{2,63}}|(?:[^\W_]\.)+[^\W\d_]{{2,63}}")
_DATE_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-]\d{2}:?\d{2})",
    re.ASCII,
)
_MAC = re.compile(
    r"(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?:\1[0-9a-f]{2}\1[0-9a-f]{2})?|"
    r"(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}(?:\.[0-9a-f]{4})?",
    re.I | re.ASCII,
)
_EMAIL = re.compile(r"[^@\s<>()\[\],;:\\\"]+@[^@\s<>()\[\],;:\\\"]+")
_SSN = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}", re.ASCII)
_HEX_COLOR = re.compile(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB_PART = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_RGB_COLOR = re.compile(rf"rgb\({_RGB_PART},{_RGB_PART},{_RGB_PART}\)", re.ASCII)
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")


def _uuid(version: str) -> Format:
    pattern = re.compile(rf"[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}[0-9a-f]{{3}}-?[0-9a-f]{{4}}-?[0-9a-f]{{12}}", re.I)
    return lambda text: pattern.fullmatch(text) is not None


def _full(pattern: re.Pattern[str]) -> Format:
    return lambda text: pattern.fullmatch(text) is not None


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _date_time(text: str) -> bool:
    if _DATE_TIME.fullmatch(text) is None:
        return False
    try:
        return datetime.fromisoformat(text[:10]) is not None
    except ValueError:
        return False


def _ipv4(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text) is not None
    except ValueError:
        return False


def _ipv6(text: str) -> bool:
    try:
        return "%" not in text and ipaddress.IPv6Address(text) is not None
    except ValueError:
        return False


def _cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    if not slash or not length.isdecimal() or not length.isascii() or "%" in address or len(text) > _ADDRESS_LENGTH_MAX:
        return False
    try:
        # As a number, because ipaddress caches every spelling of a length.
        return ipaddress.ip_network((address, int(length)), strict=False) is not None
    except ValueError:
        return False


def _uri(text: str) -> bool:
    try:
        return url(text) is not None
    except ValueError:
        return False


def _byte(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=True) is not None
    except (binascii.Error, ValueError):
        return False


def _duration(text: str) -> bool:
    if len(text) > _DURATION_LENGTH_MAX:
        return False
    if _GO_DURATION.fullmatch(text):
        return True
    return bool(text.strip()) and not _DURATION_WORDS.sub("", text).strip()


def _luhn(text: str) -> bool:
    digits = [int(c) for c in re.sub(r"[^0-9]+", "", text)]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = sum(sum(divmod(2 * d, 10)) for d in digits[-2::-2])
    return (doubled + sum(digits[-1::-2])) % 10 == 0


def _isbn10(text: str) -> bool:
    code = re.sub(r"[\s-]+", "", text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", code):
        return False
    return sum((10 - i) * (10 if c == "X" else int(c)) for i, c in enumerate(code)) % 11 == 0


def _isbn13(text: str) -> bool:
    code = re.sub(r"[\s-]+", "", text)
    return (
        re.fullmatch(r"[0-9]{13}", code) is not None and sum((3 if i % 2 else 1) * int(c) for i, c in enumerate(code)) % 10 == 0
    )


def _anything(text: str) -> bool:
    return True


_CHECKS: dict[str, Format] = {
    "bsonobjectid": _full(_OBJECT_ID),
    "uri": _uri,
    "email": _full(_EMAIL),
    "hostname": lambda text: len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "mac": _full(_MAC),
    "uuid": _uuid("[0-9a-f]"),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _luhn,
    "ssn": _full(_SSN),
    "hexcolor": _full(_HEX_COLOR),
    "rgbcolor": _full(_RGB_COLOR),
    "byte": _byte,
    "password": _anything,
    "date": _date,
    "datetime": _date_time,
    "duration": _duration,
    "k8sshortname": lambda text: not dns1123_label_errors(text),
    "k8slongname": lambda text: not dns1123_subdomain_errors(text),
}
_NUMBER_FORMATS = frozenset(("int32", "int64", "float", "double"))


def find(name: str) -> Format | None:
    """The check for a format, None for a format that is not checked. Dashes in names are ignored (`date-time`)."""
    return _CHECKS.get(name.replace("-", ""))


def is_known(name: str) -> bool:
    """Whether kube-apiserver 1.36 knows a format. Creating a definition with another format gives a warning."""
    return name in _NUMBER_FORMATS or find(name) is not None
