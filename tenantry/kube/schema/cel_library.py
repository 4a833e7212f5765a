"""The functions that Kubernetes adds to CEL (k8s.io/apiserver/pkg/cel/library).

One table declares each function with its types. The engine cannot carry values of types of ours, so that a quantity is a
map with one entry when rules run; when rules are checked it is a message type, and mistakes are found.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cel_expr_python import cel

from tenantry.kube import quantity
from tenantry.kube.schema.regex import find_all

PACKAGE = "kubernetes"
OPAQUE = ("Quantity", "URL", "IP", "CIDR", "Semver")
_PLAIN = {
    "string": cel.Type.STRING,
    "int": cel.Type.INT,
    "bool": cel.Type.BOOL,
    "double": cel.Type.DOUBLE,
    "dyn": cel.Type.DYN,
    "list": cel.Type.List(cel.Type.DYN),
    "strings": cel.Type.List(cel.Type.STRING),
    "query": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.STRING)),
}


class Function(NamedTuple):
    """`name(parameters)`, or `first.name(others)` for a member; types are words of `_PLAIN` and `OPAQUE`."""

    name: str
    member: bool
    parameters: tuple[str, ...]
    result: str
    run: Callable[..., Any]


FUNCTIONS: list[Function] = []


def _function(name: str, parameters: str, result: str, run: Callable[..., Any], *, member: bool = False) -> None:
    FUNCTIONS.append(Function(name, member, tuple(parameters.split()), result, run))


def _member(name: str, parameters: str, result: str, run: Callable[..., Any]) -> None:
    _function(name, parameters, result, run, member=True)


def _wrap(kind: str, value: str) -> dict[str, str]:
    return {f"{PACKAGE}.{kind}": value}


def _kind(value: Any) -> str:
    return next(iter(value)).rpartition(".")[2] if isinstance(value, dict) and len(value) == 1 else ""


def _text(value: Any) -> str:
    return str(next(iter(value.values()))) if isinstance(value, dict) else str(value)


def _succeeds(run: Callable[[str], Any]) -> Callable[[str], bool]:
    def succeeds(text: str) -> bool:
        try:
            run(text)
        except ValueError:
            return False
        return True

    return succeeds


# lists, sets, regex

_member("isSorted", "list", "bool", lambda items: all(a <= b for a, b in pairwise(items)))
_member("sum", "list", "dyn", sum)
_member("min", "list", "dyn", lambda items: _extreme(min, "min", items))
_member("max", "list", "dyn", lambda items: _extreme(max, "max", items))
_member("indexOf", "list dyn", "int", lambda items, item: items.index(item) if item in items else -1)
_member("lastIndexOf", "list dyn", "int", lambda items, item: max((i for i, x in enumerate(items) if x == item), default=-1))
_function("sets.contains", "list list", "bool", lambda left, right: all(x in left for x in right))
_function("sets.intersects", "list list", "bool", lambda left, right: any(x in left for x in right))
_function(
    "sets.equivalent", "list list", "bool", lambda left, right: all(x in left for x in right) and all(x in right for x in left)
)
_member("find", "string string", "string", lambda text, pattern: next(iter(find_all(pattern, text, 1)), ""))
_member("findAll", "string string", "strings", lambda text, pattern: find_all(pattern, text, -1))
_member("findAll", "string string int", "strings", lambda text, pattern, limit: find_all(pattern, text, limit))


def _extreme(pick: Callable[[Any], Any], name: str, items: list[Any]) -> Any:
    if not items:
        raise ValueError(f"{name} called on empty list")
    return pick(items)


# url


def _url(text: str) -> dict[str, str]:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")) or any(c <= " " for c in text):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    return _wrap("URL", text)


def _hostname(url: Any) -> str:
    return urlsplit(_text(url)).netloc.rpartition("@")[2].rpartition(":")[0 if _port(url) else 2].strip("[]")


def _port(url: Any) -> str:
    match = re.search(r":(\d*)$", urlsplit(_text(url)).netloc.rpartition("@")[2])
    return match.group(1) if match else ""


_function("url", "string", "URL", _url)
_function("isURL", "string", "bool", _succeeds(_url))
_member("getScheme", "URL", "string", lambda u: urlsplit(_text(u)).scheme)
_member("getHost", "URL", "string", lambda u: urlsplit(_text(u)).netloc.rpartition("@")[2])
_member("getHostname", "URL", "string", _hostname)
_member("getPort", "URL", "string", _port)
_member("getEscapedPath", "URL", "string", lambda u: urlsplit(_text(u)).path)
_member("getQuery", "URL", "query", lambda u: parse_qs(urlsplit(_text(u)).query, keep_blank_values=True))


# quantity and semver: both compare


def _quantity(text: str) -> dict[str, str]:
    return _wrap("Quantity", quantity.canonical(text))


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:[0-9A-Za-z-]+)(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-.]+)?", re.ASCII
)


def _semver(text: str) -> dict[str, str]:
    if _SEMVER.fullmatch(text) is None:
        raise ValueError(f"invalid semantic version {text!r}")
    return _wrap("Semver", text)


def _semver_key(text: str) -> tuple[Any, ...]:
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid semantic version {text!r}")
    major, minor, patch, before = match.groups()
    marks = tuple((0, int(m), "") if m.isdecimal() else (1, 0, m) for m in (before or "").split(".")) if before else ()
    return (int(major), int(minor), int(patch), before is None, marks)


def _compare(left: Any, right: Any) -> int:
    read: Callable[[str], Any] = _semver_key if _kind(left) == "Semver" else quantity.parse
    first, second = read(_text(left)), read(_text(right))
    return int(first > second) - int(first < second)


def _amount(value: Any) -> Any:
    return value if isinstance(value, int) else quantity.parse(_text(value))


def _as_integer(value: Any) -> int:
    amount = quantity.parse(_text(value))
    if amount != amount.to_integral_value() or not -(1 << 63) <= amount < 1 << 63:
        raise ValueError("cannot convert value to integer")
    return int(amount)


def _sign(value: Any) -> int:
    amount = quantity.parse(_text(value))
    return int(amount > 0) - int(amount < 0)


_function("quantity", "string", "Quantity", _quantity)
_function("isQuantity", "string", "bool", quantity.is_quantity)
_member("sign", "Quantity", "int", _sign)
_member("isInteger", "Quantity", "bool", _succeeds(_as_integer))
_member("asInteger", "Quantity", "int", _as_integer)
_member("asApproximateFloat", "Quantity", "double", lambda q: float(quantity.parse(_text(q))))
for _other in ("Quantity", "int"):
    _member(
        "add", f"Quantity {_other}", "Quantity", lambda a, b: _wrap("Quantity", quantity.from_amount(_amount(a) + _amount(b)))
    )
    _member(
        "sub", f"Quantity {_other}", "Quantity", lambda a, b: _wrap("Quantity", quantity.from_amount(_amount(a) - _amount(b)))
    )
_function("semver", "string", "Semver", _semver)
_function("isSemver", "string", "bool", _succeeds(_semver))
for _index, _name in enumerate(("major", "minor", "patch")):
    _member(_name, "Semver", "int", lambda v, at=_index: _semver_key(_text(v))[at])
for _type in ("Quantity", "Semver"):
    _member("isLessThan", f"{_type} {_type}", "bool", lambda a, b: _compare(a, b) < 0)
    _member("isGreaterThan", f"{_type} {_type}", "bool", lambda a, b: _compare(a, b) > 0)
    _member("compareTo", f"{_type} {_type}", "int", _compare)


# ip and cidr


def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    text = _text(value)
    if "%" in text:
        raise ValueError(f"IP address {text!r} with zone value is not allowed")
    found = ipaddress.ip_address(text)
    if found.version == 6 and "." in text:
        raise ValueError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return found


def _network(value: Any) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    text = _text(value)
    if "/" not in text or not text.rpartition("/")[2].isdecimal():
        raise ValueError(f"network address parse error during conversion from string: {text!r} is no CIDR")
    _address(text.partition("/")[0])
    return ipaddress.ip_interface(text)


def _ip(text: str) -> dict[str, str]:
    return _wrap("IP", str(_address(text)))


def _cidr(text: str) -> dict[str, str]:
    return _wrap("CIDR", str(_network(text)))


def _contains_ip(cidr: Any, address: Any) -> bool:
    return _address(address) in _network(cidr).network


def _contains_cidr(cidr: Any, inner: Any) -> bool:
    outer, within = _network(cidr).network, _network(inner).network
    return outer.version == within.version and outer.prefixlen <= within.prefixlen and within.network_address in outer


def _is_global_unicast(value: Any) -> bool:
    a = _address(value)
    broadcast = a.version == 4 and int(a) == 0xFFFFFFFF
    return not (a.is_unspecified or a.is_loopback or a.is_multicast or a.is_link_local or broadcast)


def _multicast_link_local(value: Any) -> bool:
    a = _address(value)
    return a in ipaddress.ip_network("224.0.0.0/24" if a.version == 4 else "ff02::/16")


_function("ip", "string", "IP", _ip)
_function("isIP", "string", "bool", _succeeds(_ip))
_function("ip.isCanonical", "string", "bool", lambda text: str(_address(text)) == text)
_member("family", "IP", "int", lambda a: _address(a).version)
_member("isUnspecified", "IP", "bool", lambda a: _address(a).is_unspecified)
_member("isLoopback", "IP", "bool", lambda a: _address(a).is_loopback)
_member("isLinkLocalUnicast", "IP", "bool", lambda a: _address(a).is_link_local)
_member("isLinkLocalMulticast", "IP", "bool", _multicast_link_local)
_member("isGlobalUnicast", "IP", "bool", _is_global_unicast)
_function("cidr", "string", "CIDR", _cidr)
_function("isCIDR", "string", "bool", _succeeds(_cidr))
for _type in ("string", "IP"):
    _member("containsIP", f"CIDR {_type}", "bool", _contains_ip)
for _type in ("string", "CIDR"):
    _member("containsCIDR", f"CIDR {_type}", "bool", _contains_cidr)
_member("ip", "CIDR", "IP", lambda c: _wrap("IP", str(_network(c).ip)))
_member("masked", "CIDR", "CIDR", lambda c: _wrap("CIDR", str(_network(c).network)))
_member("prefixLength", "CIDR", "int", lambda c: _network(c).network.prefixlen)


# The table as extensions of the engine


@cache
def for_running() -> cel.CelExtension:
    """The functions for rules that run, where values of our types are maps."""
    return _extension("run", lambda word: _PLAIN.get(word, cel.Type.DYN))


@cache
def for_checking() -> cel.CelExtension:
    """The functions for rules that are checked; the messages of `OPAQUE` must be in the environment's pool."""
    return _extension("check", lambda word: _PLAIN.get(word) or cel.Type(f"{PACKAGE}.{word}"))


def _extension(purpose: str, type_of: Callable[[str], cel.Type]) -> cel.CelExtension:
    overloads: dict[str, dict[str, cel.Overload]] = {}
    for function in FUNCTIONS:
        types = [type_of(word) for word in function.parameters]
        identity = f"{function.name}_{'m' if function.member else 'f'}_{'_'.join(t.name() for t in types)}"
        # Words that erase to the same type share one implementation, which looks at the values.
        overloads.setdefault(function.name, {}).setdefault(
            identity,
            cel.Overload(
                f"{PACKAGE}_{identity}",
                return_type=type_of(function.result),
                parameters=types,
                is_member=function.member,
                impl=function.run,
            ),
        )
    for found in overloads.values():
        _drop_covered(found)
    return cel.CelExtension(
        f"{PACKAGE}_{purpose}", [cel.FunctionDecl(name, list(found.values())) for name, found in overloads.items()]
    )


def _drop_covered(found: dict[str, cel.Overload]) -> None:
    """An overload whose last parameter is `dyn` serves every other that differs only there; the engine refuses both."""
    for identity in list(found):
        general = identity.rpartition("_")[0] + "_DYN"
        if general != identity and general in found:
            del found[identity]
