"""The `format` keyword for strings: the formats that kube-apiserver checks (k8s.io/kube-openapi/pkg/validation/strfmt)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date

from tenantry.kube.names import dns1123_label_errors, dns1123_subdomain_errors
from tenantry.kube.schema.duration_words import is_duration
from tenantry.kube.schema.mail_address import is_mail_address
from tenantry.kube.schema.network_addresses import is_cidr, is_dotted, is_ipv6, is_mac
from tenantry.kube.schema.request_uri import is_request_uri
from tenantry.kube.schema.structural import Schema

Format = Callable[[str], bool]

_HOSTNAME_BYTES_MAX, _LABEL_BYTES_MAX = 255, 63
_DIGITS_LENGTH_MAX = 4096
"""A longer text of digits with signs between them is refused: taking these out of it holds up all threads. Upstream has no
limit."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|[+-][0-9]{2}:[0-9]{2})")
_SSN = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}", re.ASCII)
_CREDIT_CARD = re.compile(
    r"4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|"
    r"(?:2131|1800|35[0-9]{3})[0-9]{11}"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_HEX_COLOR = re.compile(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB_PART = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_RGB_COLOR = re.compile(rf"rgb\({_RGB_PART},{_RGB_PART},{_RGB_PART}\)", re.ASCII)
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")


def _uuid(version: str, variant: str = "[0-9a-f]") -> Format:
    pattern = re.compile(rf"[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}[0-9a-f]{{3}}-?{variant}[0-9a-f]{{3}}-?[0-9a-f]{{12}}", re.I)
    return lambda text: pattern.fullmatch(text) is not None


def _full(pattern: re.Pattern[str]) -> Format:
    return lambda text: pattern.fullmatch(text) is not None


def _hostname(text: str) -> bool:
    # Counted first: what follows takes a step for each character.
    if len(text) > _HOSTNAME_BYTES_MAX or len(text.encode(errors="replace")) > _HOSTNAME_BYTES_MAX:
        return False
    *labels, last = text.split(".")
    if any(len(label.encode(errors="replace")) > _LABEL_BYTES_MAX for label in (*labels, last)):
        return False
    if not labels:
        # Of one label, only the second character may be a dash.
        return bool(last) and _is_sign(last[0]) and all(map(_is_sign, last[2:] if last[1:2] == "-" else last))
    return len(last) >= 2 and all(map(_is_letter, last)) and all(map(_is_label, labels))


def _is_label(label: str) -> bool:
    return bool(label) and label[0] != "-" and label[-1] != "-" and all(c == "-" or _is_sign(c) for c in label)


def _is_sign(character: str) -> bool:
    if character.isascii() and character.isdigit():
        return True
    return unicodedata.category(character)[0] in "LS"


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def _date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    # Go has a year 0, a leap year as 2000 is one.
    if text.startswith("0000"):
        text = f"2000{text[4:]}"
    try:
        return date.fromisoformat(text) is not None
    except ValueError:
        return False


def _date_time(text: str) -> bool:
    # What follows a second `t` is not looked at, as upstream does not look at it.
    day, _, rest = text.lower().partition("t")
    found = _TIME.fullmatch(rest.partition("t")[0])
    return found is not None and _date(day) and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def _byte(text: str) -> bool:
    return not len(text) % 4 and _BASE64.fullmatch(text) is not None


def _credit_card(text: str) -> bool:
    if len(text) > _DIGITS_LENGTH_MAX:
        return False
    number = re.sub(r"[^0-9]+", "", text)
    if _CREDIT_CARD.fullmatch(number) is None:
        return False
    digits = [int(c) for c in number]
    doubled = sum(sum(divmod(2 * d, 10)) for d in digits[-2::-2])
    return (doubled + sum(digits[-1::-2])) % 10 == 0


def _isbn10(text: str) -> bool:
    if len(text) > _DIGITS_LENGTH_MAX:
        return False
    code = re.sub(r"[ \t\n\f\r-]+", "", text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", code):
        return False
    return sum((10 - i) * (10 if c == "X" else int(c)) for i, c in enumerate(code)) % 11 == 0


def _isbn13(text: str) -> bool:
    if len(text) > _DIGITS_LENGTH_MAX:
        return False
    code = re.sub(r"[ \t\n\f\r-]+", "", text)
    return (
        re.fullmatch(r"[0-9]{13}", code) is not None and sum((3 if i % 2 else 1) * int(c) for i, c in enumerate(code)) % 10 == 0
    )


def _anything(text: str) -> bool:
    return True


_CHECKS: dict[str, Format] = {
    "bsonobjectid": _full(_OBJECT_ID),
    "uri": is_request_uri,
    "email": is_mail_address,
    "hostname": _hostname,
    "ipv4": is_dotted,
    "ipv6": is_ipv6,
    "cidr": is_cidr,
    "mac": is_mac,
    "uuid": _uuid("[0-9a-f]"),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": lambda text: len(text) == 11 and _SSN.fullmatch(text) is not None,
    "hexcolor": _full(_HEX_COLOR),
    "rgbcolor": _full(_RGB_COLOR),
    "byte": _byte,
    "password": _anything,
    "date": _date,
    "datetime": _date_time,
    "duration": is_duration,
    "k8sshortname": lambda text: not dns1123_label_errors(text),
    "k8slongname": lambda text: not dns1123_subdomain_errors(text),
}
_NUMBER_FORMATS = {"integer": ("int32", "int64"), "number": ("float", "double")}


def find(name: str) -> Format | None:
    """The check for a format, None for a format that is not checked. Dashes in names are ignored (`date-time`)."""
    return _CHECKS.get(name.replace("-", ""))


def known_format(schema: Schema) -> str:
    """The format of a schema, empty where it is one that kube-apiserver ignores."""
    return schema.format if schema.format and is_known(schema.format, schema.type) else ""


def is_known(name: str, kind: str) -> bool:
    """Whether kube-apiserver 1.37 knows a format of a type. Creating a definition with another format gives a warning."""
    if kind in ("", "string"):
        return find(name) is not None
    return name in _NUMBER_FORMATS.get(kind, ())
