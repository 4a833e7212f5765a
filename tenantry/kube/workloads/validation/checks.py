"""Checks of single values, which many types share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenantry.kube.field_errors import duplicate, invalid, not_supported, required
from tenantry.kube.names import dns1123_label_errors, dns1123_subdomain_errors, regex_error
from tenantry.kube.objects import Object
from tenantry.kube.schema.ip_and_url import Address, cidr, ip
from tenantry.kube.status import FieldError

INT32_MAX = (1 << 31) - 1
PROTOCOLS = ("SCTP", "TCP", "UDP")
NOT_NEGATIVE = "must be greater than or equal to 0"
PORT_RANGE = "must be between 1 and 65535, inclusive"
_PORT_NAME_CHARACTERS = 15
_DRIVER_NAME_CHARACTERS = 63
_PERCENT = re.compile(r"[0-9]+%", re.ASCII)
_PERCENT_ERROR = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
    "regex used for validation is '[0-9]+%')"
)
_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_ENVIRONMENT_NAME = re.compile(r"[ -<>-~]+")
ENVIRONMENT_NAME_ERROR = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def in_order(values: Mapping[str, str]) -> dict[str, str]:
    """A map as Go shows it."""
    return {name: values[name] for name in sorted(values)}


def not_found(path: str, value: Any) -> FieldError:
    return FieldError("NotFound", path, f'Not found: "{value}"')


def not_negative(value: int | None, path: str) -> list[FieldError]:
    return [invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def all_not_negative(obj: Object, path: str, *names: str) -> list[FieldError]:
    return [error for name in names for error in not_negative(obj.get(name), f"{path}.{name}")]


def port_number(value: Any, path: str) -> list[FieldError]:
    return [] if isinstance(value, int) and 1 <= value <= 65535 else [invalid(path, value, PORT_RANGE)]


def port_name_errors(name: str) -> list[str]:
    """The errors of the name of a port (RFC 6335, validation.IsValidPortName)."""
    errors = []
    if len(name) > _PORT_NAME_CHARACTERS:
        errors.append(f"must be no more than {_PORT_NAME_CHARACTERS} characters")
    if not re.fullmatch(r"[-a-z0-9]+", name):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", name):
        errors.append("must contain at least one letter (a-z)")
    if "--" in name:
        errors.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def port(value: Any, path: str) -> list[FieldError]:
    """A number or a name of a port."""
    if isinstance(value, int):
        return port_number(value, path)
    return [invalid(path, value, text) for text in port_name_errors(value)]


def label(value: str, path: str) -> list[FieldError]:
    return [invalid(path, value, text) for text in dns1123_label_errors(value)]


def subdomain(value: str, path: str) -> list[FieldError]:
    return [invalid(path, value, text) for text in dns1123_subdomain_errors(value)]


def one_of(value: str | None, path: str, allowed: Sequence[str], *, missing: str | None = None) -> list[FieldError]:
    """`missing`: the text of a required value that is not there; None where it may be missing."""
    if not value:
        return [required(path, missing)] if missing is not None else []
    return [] if value in allowed else [not_supported(path, value, allowed)]


def member(value: str | None, path: str, allowed: Sequence[str]) -> list[FieldError]:
    """A value that may be missing, and is not empty where it is there."""
    return [] if value is None or value in allowed else [not_supported(path, value, allowed)]


def domain_path_errors(text: str, path: str) -> list[FieldError]:
    """The errors of `<domain>/<path>` (IsDomainPrefixedPath)."""
    if not text:
        return [required(path)]
    domain, _, rest = text.partition("/")
    if not domain or not rest:
        return [invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = [invalid(path, domain, wrong) for wrong in dns1123_subdomain_errors(domain)]
    if not _HTTP_PATH.fullmatch(rest):
        errors.append(invalid(path, rest, regex_error("Invalid path", _HTTP_PATH.pattern)))
    return errors


def driver_name(name: str, path: str) -> list[FieldError]:
    """The name of a driver of volumes, which is required."""
    if not name:
        return [required(path)]
    errors = []
    if len(name) > _DRIVER_NAME_CHARACTERS:
        errors.append(FieldError("TooLong", path, f"Too long: may not be more than {_DRIVER_NAME_CHARACTERS} bytes"))
    return errors + [invalid(path, name, text) for text in dns1123_subdomain_errors(name.lower())]


def environment_name(name: str, path: str) -> list[FieldError]:
    if _ENVIRONMENT_NAME.fullmatch(name):
        return []
    return [invalid(path, name, ENVIRONMENT_NAME_ERROR)]


def amount(value: int | str | None, path: str) -> list[FieldError]:
    """A number or a percentage of Pods, not negative."""
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [invalid(path, value, _PERCENT_ERROR)]
    return not_negative(value, path)


def percent_at_most_100(value: int | str | None, path: str) -> list[FieldError]:
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1][:9]) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def is_zero(value: int | str | None) -> bool:
    """Whether an amount is 0 or 0%."""
    return not value or (isinstance(value, str) and _PERCENT.fullmatch(value) is not None and not value[:-1].strip("0"))


ADDRESS_ERROR = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NETWORK_ERROR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def address_of(text: str) -> Address | None:
    """The address that a text is, None if it is none."""
    try:
        return ip(text)
    except ValueError:
        return None


def ip_address(value: str, path: str) -> list[FieldError]:
    return [] if address_of(value) is not None else [invalid(path, value, ADDRESS_ERROR)]


def endpoint_address(value: str, path: str) -> list[FieldError]:
    """An address that others can reach: not the unspecified one, none of the machine itself, no multicast of a link."""
    address = address_of(value)
    if address is None:
        return [invalid(path, value, ADDRESS_ERROR)]
    errors = []
    if address.is_unspecified:
        errors.append(invalid(path, value, "may not be unspecified (0.0.0.0 or ::)"))
    if address.is_loopback:
        errors.append(invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        errors.append(invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address.is_multicast and address.packed[:3] == b"\xe0\x00\x00":
        errors.append(invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))
    return errors


def is_network(value: str) -> bool:
    try:
        cidr(value)
    except ValueError:
        return False
    return True


def network(value: str, path: str) -> list[FieldError]:
    return [] if is_network(value) else [invalid(path, value, NETWORK_ERROR)]


def unique(names: Iterable[tuple[str, str]]) -> list[FieldError]:
    """Duplicate errors of (path, value). Empty values are not looked at."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for path, value in names:
        if value and value in seen:
            errors.append(duplicate(path, value))
        seen.add(value)
    return errors


def items(obj: Mapping[str, Any], name: str, path: str) -> Iterable[tuple[str, Any]]:
    """(path, item) of each item of a list."""
    return ((f"{path}.{name}[{index}]", item) for index, item in enumerate(obj.get(name) or ()))
