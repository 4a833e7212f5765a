"""The functions that Kubernetes adds to CEL (k8s.io/apiserver/pkg/cel/library).

One table declares each function with its types, for the checker, and the implementation for the interpreter. An implementation
charges the `Cost` first, as Kubernetes' library does, and then does the work. Functions with one name share an implementation,
which looks at its arguments.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from cel_expr_python import cel

from tenantry.kube import quantity
from tenantry.kube.schema import addresses
from tenantry.kube.schema.addresses import URL
from tenantry.kube.schema.cel_functions import Function as Running
from tenantry.kube.schema.cel_functions import add, int_of, list_of, search_cost, text_of
from tenantry.kube.schema.cel_values import CelError, Cost, NoOverload, Opaque, contains, equal, less, size, traversal
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
    """The declaration `name(parameters)`, or `first.name(others)` for a member. Types are words of `_PLAIN` and `OPAQUE`."""

    name: str
    member: bool
    parameters: tuple[str, ...]
    result: str
    run: Running


FUNCTIONS: list[Function] = []


def _function(name: str, parameters: str, result: str, run: Running, *, member: bool = False) -> None:
    FUNCTIONS.append(Function(name, member, tuple(parameters.split()), result, run))


def _member(name: str, parameters: str, result: str, run: Running) -> None:
    _function(name, parameters, result, run, member=True)


def _opaque(value: Any, *kinds: str) -> Any:
    """The content of a value of one of our types. Raises NoOverload for another value."""
    if type(value) is not Opaque or value.kind not in kinds:
        raise NoOverload
    return value.value


def _reads(run: Callable[[Cost, Any], Any]) -> Running:
    """Whether a text can be parsed, for functions that parse one."""

    def succeeds(cost: Cost, text: Any) -> bool:
        text_of(text)
        try:
            run(cost, text)
        except CelError:
            return False
        return True

    return succeeds


def _access(kind: str, get: Callable[[Any], Any]) -> Running:
    """An attribute of a value of one of our types. It costs one unit."""

    def access(cost: Cost, value: Any) -> Any:
        cost.charge(1)
        return get(_opaque(value, kind))

    return access


# lists, sets, regex


def _is_sorted(cost: Cost, items: Any) -> bool:
    traversal(cost, list_of(items))
    return not any(less(cost, b, a) for a, b in pairwise(items))


def _sum(cost: Cost, items: Any) -> Any:
    traversal(cost, list_of(items))
    total = items[0] if items else 0
    for item in items[1:]:
        total = add(cost, total, item)
    return total


def _extreme(name: str, later_wins: Callable[[Cost, Any, Any], bool]) -> Running:
    def extreme(cost: Cost, items: Any) -> Any:
        traversal(cost, list_of(items))
        if not items:
            raise CelError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if later_wins(cost, best, item):
                best = item
        return best

    return extreme


def _index_of(cost: Cost, value: Any, wanted: Any, start: Any = 0) -> int:
    traversal(cost, value)
    if type(value) is list:
        return next((place for place, item in enumerate(value) if equal(cost, item, wanted)), -1)
    text_of(wanted)
    if not 0 <= int_of(start) <= len(text_of(value)):
        raise CelError(f"index out of range: {start}")
    return int(value.find(wanted, start))


def _last_index_of(cost: Cost, value: Any, wanted: Any, start: Any = None) -> int:
    traversal(cost, value)
    if type(value) is list:
        return next((place for place in range(len(value) - 1, -1, -1) if equal(cost, value[place], wanted)), -1)
    length = len(text_of(wanted))
    if start is not None and not 0 <= int_of(start) <= len(text_of(value)):
        raise CelError(f"index out of range: {start}")
    # Both texts are reversed, because str.find takes linear time and str.rfind does not.
    until = len(text_of(value)) if start is None else min(len(value), start + length)
    found = value[:until][::-1].find(wanted[::-1])
    return -1 if found < 0 else until - found - length


def _product(cost: Cost, left: Any, right: Any, times: int) -> None:
    cost.charge(1 + len(list_of(left)) * len(list_of(right)) * times)


def _sets_contains(cost: Cost, left: Any, right: Any) -> bool:
    _product(cost, left, right, 1)
    return all(contains(cost, left, item) for item in right)


def _sets_intersects(cost: Cost, left: Any, right: Any) -> bool:
    _product(cost, left, right, 1)
    return any(contains(cost, left, item) for item in right)


def _sets_equivalent(cost: Cost, left: Any, right: Any) -> bool:
    _product(cost, left, right, 2)
    return all(contains(cost, left, item) for item in right) and all(contains(cost, right, item) for item in left)


def _find(cost: Cost, text: Any, pattern: Any) -> str:
    return next(iter(_find_all(cost, text, pattern, 1)), "")


def _find_all(cost: Cost, text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    search_cost(cost, text_of(text), text_of(pattern))
    try:
        return find_all(pattern, text, int_of(limit), cost.charge)
    except ValueError as error:
        raise CelError(str(error)) from None


_member("isSorted", "list", "bool", _is_sorted)
_member("sum", "list", "dyn", _sum)
_member("min", "list", "dyn", _extreme("min", lambda cost, best, item: less(cost, item, best)))
_member("max", "list", "dyn", _extreme("max", less))
_member("indexOf", "list dyn", "int", _index_of)
_member("lastIndexOf", "list dyn", "int", _last_index_of)
_function("sets.contains", "list list", "bool", _sets_contains)
_function("sets.intersects", "list list", "bool", _sets_intersects)
_function("sets.equivalent", "list list", "bool", _sets_equivalent)
_member("find", "string string", "string", _find)
_member("findAll", "string string", "strings", _find_all)
_member("findAll", "string string int", "strings", _find_all)


# url


def _url(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        return Opaque("URL", addresses.url(text))
    except ValueError as error:
        raise CelError(f"URL parse error during conversion from string: {error}") from None


def _query(cost: Cost, value: Any) -> dict[str, list[str]]:
    url: URL = _opaque(value, "URL")
    cost.charge(1)
    cost.text(len(url.query), 2)
    return parse_qs(url.query, keep_blank_values=True)


_function("url", "string", "URL", _url)
_function("isURL", "string", "bool", _reads(_url))
_member("getScheme", "URL", "string", _access("URL", lambda url: url.scheme))
_member("getHost", "URL", "string", _access("URL", lambda url: url.host))
_member("getHostname", "URL", "string", _access("URL", lambda url: url.hostname))
_member("getPort", "URL", "string", _access("URL", lambda url: url.port))
_member("getEscapedPath", "URL", "string", _access("URL", lambda url: url.path))
_member("getQuery", "URL", "query", _query)


# quantity and semver: both compare

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1
_LONGEST_SEMVER = 256
_SEMVER = re.compile(
    r"(0|[1-9]\d{0,19})\.(0|[1-9]\d{0,19})\.(0|[1-9]\d{0,19})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-.]+)?",
    re.ASCII,
)


def _quantity(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        return Opaque("Quantity", quantity.parse(text))
    except ValueError as error:
        raise CelError(str(error)) from None


def _semver(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    match = _SEMVER.fullmatch(text) if len(text) <= _LONGEST_SEMVER else None
    if match is None:
        raise CelError(f"invalid semantic version {text[:_LONGEST_SEMVER]!r}")
    major, minor, patch, before = match.groups()
    marks = tuple((0, int(m), "") if m.isdecimal() else (1, 0, m) for m in (before or "").split(".")) if before else ()
    return Opaque("Semver", (int(major), int(minor), int(patch), before is None, marks))


def _compare(cost: Cost, left: Any, right: Any) -> int:
    cost.charge(1)
    first, second = _opaque(left, "Quantity", "Semver"), _opaque(right, "Quantity", "Semver")
    if left.kind != right.kind:
        raise NoOverload
    return int(first > second) - int(first < second)


def _amount(value: Any) -> Any:
    return value if type(value) is int else _opaque(value, "Quantity")


def _as_integer(cost: Cost, value: Any) -> int:
    cost.charge(1)
    amount = _opaque(value, "Quantity")
    if amount != amount.to_integral_value() or not _INT_MIN <= amount <= _INT_MAX:
        raise CelError("cannot convert value to integer")
    return int(amount)


def _is_integer(cost: Cost, value: Any) -> bool:
    try:
        _as_integer(cost, value)
    except NoOverload:
        raise
    except CelError:
        return False
    return True


def _arithmetic(run: Callable[[Any, Any], Any]) -> Running:
    def apply(cost: Cost, left: Any, right: Any) -> Opaque:
        cost.charge(1)
        return Opaque("Quantity", quantity.exactly(run, _opaque(left, "Quantity"), _amount(right)))

    return apply


_function("quantity", "string", "Quantity", _quantity)
_function("isQuantity", "string", "bool", _reads(_quantity))
_member("sign", "Quantity", "int", _access("Quantity", lambda amount: int(amount > 0) - int(amount < 0)))
_member("isInteger", "Quantity", "bool", _is_integer)
_member("asInteger", "Quantity", "int", _as_integer)
_member("asApproximateFloat", "Quantity", "double", _access("Quantity", float))
for _other in ("Quantity", "int"):
    _member("add", f"Quantity {_other}", "Quantity", _arithmetic(lambda a, b: a + b))
    _member("sub", f"Quantity {_other}", "Quantity", _arithmetic(lambda a, b: a - b))
_function("semver", "string", "Semver", _semver)
_function("isSemver", "string", "bool", _reads(_semver))
for _index, _name in enumerate(("major", "minor", "patch")):
    _member(_name, "Semver", "int", _access("Semver", itemgetter(_index)))
for _type in ("Quantity", "Semver"):
    _member("isLessThan", f"{_type} {_type}", "bool", lambda cost, a, b: _compare(cost, a, b) < 0)
    _member("isGreaterThan", f"{_type} {_type}", "bool", lambda cost, a, b: _compare(cost, a, b) > 0)
    _member("compareTo", f"{_type} {_type}", "int", _compare)


# ip and cidr


def _ip(cost: Cost, value: Any) -> Opaque:
    """`ip(text)`, and `cidr.ip()`."""
    if type(value) is Opaque:
        cost.charge(1)
        return Opaque("IP", _opaque(value, "CIDR").ip)
    cost.text(len(text_of(value)))
    try:
        return Opaque("IP", addresses.ip(value))
    except ValueError as error:
        raise CelError(str(error)) from None


def _cidr(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        network = addresses.cidr(text)
    except ValueError as error:
        raise CelError(str(error)) from None
    return Opaque("CIDR", network)


def _is_canonical(cost: Cost, text: Any) -> bool:
    return bool(str(_ip(cost, text).value) == text)


def _read(cost: Cost, value: Any, kind: str) -> Any:
    """The address or network that a value is, or that its text contains."""
    if type(value) is str:
        return (_ip(cost, value) if kind == "IP" else _cidr(cost, value)).value
    return _opaque(value, kind)


def _contains_ip(cost: Cost, cidr: Any, address: Any) -> bool:
    cost.charge(2 * size(cidr) * 0.1)
    return _read(cost, address, "IP") in _opaque(cidr, "CIDR").network


def _contains_cidr(cost: Cost, cidr: Any, inner: Any) -> bool:
    cost.charge(3 * size(cidr) * 0.1 + 1)
    outer, within = _opaque(cidr, "CIDR").network, _read(cost, inner, "CIDR")
    return outer.version == within.version and outer.prefixlen <= within.network.prefixlen and within.ip in outer


def _is_global_unicast(address: Any) -> bool:
    broadcast = address.version == 4 and int(address) == 0xFFFFFFFF
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local or broadcast)


_MULTICAST_LINK_LOCAL = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def _masked(cost: Cost, cidr: Any) -> Opaque:
    cost.charge(1)
    network = _opaque(cidr, "CIDR").network
    masked = ipaddress.ip_interface((network.network_address, network.prefixlen))
    return Opaque("CIDR", masked)


_function("ip", "string", "IP", _ip)
_function("isIP", "string", "bool", _reads(_ip))
_function("ip.isCanonical", "string", "bool", _is_canonical)
_member("family", "IP", "int", _access("IP", lambda address: address.version))
_member("isUnspecified", "IP", "bool", _access("IP", lambda address: address.is_unspecified))
_member("isLoopback", "IP", "bool", _access("IP", lambda address: address.is_loopback))
_member("isLinkLocalUnicast", "IP", "bool", _access("IP", lambda address: address.is_link_local))
_member("isLinkLocalMulticast", "IP", "bool", _access("IP", lambda address: any(address in net for net in _MULTICAST_LINK_LOCAL)))
_member("isGlobalUnicast", "IP", "bool", _access("IP", _is_global_unicast))
_function("cidr", "string", "CIDR", _cidr)
_function("isCIDR", "string", "bool", _reads(_cidr))
for _type in ("string", "IP"):
    _member("containsIP", f"CIDR {_type}", "bool", _contains_ip)
for _type in ("string", "CIDR"):
    _member("containsCIDR", f"CIDR {_type}", "bool", _contains_cidr)
_member("ip", "CIDR", "IP", _ip)
_member("masked", "CIDR", "CIDR", _masked)
_member("prefixLength", "CIDR", "int", _access("CIDR", lambda cidr: cidr.network.prefixlen))


# The table as an extension of the engine's checker, and for the interpreter


def running() -> dict[tuple[str, bool], Running]:
    """The implementations: (name, is member) → function. Of a member, the value before the dot is the first argument."""
    return {(function.name, function.member): function.run for function in FUNCTIONS}


@cache
def for_checking() -> cel.CelExtension:
    """The declarations, for the checker. The messages of `OPAQUE` must be in the environment's pool."""
    return _extension("check", lambda word: _PLAIN.get(word) or cel.Type(f"{PACKAGE}.{word}"))


def _extension(purpose: str, type_of: Callable[[str], cel.Type]) -> cel.CelExtension:
    overloads: dict[str, dict[str, cel.Overload]] = {}
    for function in FUNCTIONS:
        types = [type_of(word) for word in function.parameters]
        identity = f"{function.name}_{'m' if function.member else 'f'}_{'_'.join(t.name() for t in types)}"
        # Overloads with the same types for the engine share one implementation, which looks at the values.
        overloads.setdefault(function.name, {}).setdefault(
            identity,
            cel.Overload(
                f"{PACKAGE}_{identity}",
                return_type=type_of(function.result),
                parameters=types,
                is_member=function.member,
            ),
        )
    for found in overloads.values():
        _drop_covered(found)
    return cel.CelExtension(
        f"{PACKAGE}_{purpose}", [cel.FunctionDecl(name, list(found.values())) for name, found in overloads.items()]
    )


def _drop_covered(found: dict[str, cel.Overload]) -> None:
    """Removes overloads that another one covers: the same types, except that its last parameter is `dyn`. The engine refuses both
    together."""
    for identity in list(found):
        general = identity.rpartition("_")[0] + "_DYN"
        if general != identity and general in found:
            del found[identity]
