"""The functions of Kubernetes' CEL environment, with their types: those of k8s.io/apiserver v0.37.2 for definitions of resources
(compatibility version 1.36). The checker and the cost estimate know functions from here."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from tenantry.kube.schema.cel_types import Type, read, renamed


class Overload(NamedTuple):
    """One signature of a function. Of a member, the first parameter is the value before the dot."""

    is_member: bool
    parameters: tuple[Type, ...]
    result: Type
    type_parameters: tuple[Type, ...]

    def fresh(self, number: int) -> tuple[tuple[Type, ...], Type]:
        """Parameters and result, with type parameters that occur nowhere else. They are numbered from `number`."""
        if not self.type_parameters:
            return self.parameters, self.result
        names = {each: Type("param", f"_var{number + place}") for place, each in enumerate(self.type_parameters)}
        return tuple(renamed(each, names) for each in self.parameters), renamed(self.result, names)


_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
"""What `{T}` in a declaration stands for: an overload for each of them."""
_SIGNATURE = re.compile(r"(\.?)\(([^()]*)\) (\S+)")

# A line has a name and its overloads; those of members begin with a dot.
_DECLARATIONS = """\
!_ (bool) bool
-_ (double) double | (int) int
@in (A, list<A>) bool | (A, map<A,B>) bool
@not_strictly_false (bool) bool
@sortByAssociatedKeys .(list<T>, list<{T}>) list<T>
_!=_ (A, A) bool
_%_ (int, int) int | (uint, uint) uint
_&&_ (bool, bool) bool
_*_ (double, double) double | (int, int) int | (uint, uint) uint
_+_ (bytes, bytes) bytes | (double, double) double | (duration, duration) duration | (duration, timestamp) timestamp |
    (timestamp, duration) timestamp | (int, int) int | (list<A>, list<A>) list<A> | (string, string) string |
    (uint, uint) uint
_-_ (double, double) double | (duration, duration) duration | (int, int) int | (timestamp, duration) timestamp |
    (timestamp, timestamp) duration | (uint, uint) uint
_/_ (double, double) double | (int, int) int | (uint, uint) uint
_<=_ ({T}, {T}) bool | (int, double) bool | (int, uint) bool | (uint, double) bool | (uint, int) bool | (double, int) bool |
    (double, uint) bool
_<_ ({T}, {T}) bool | (int, double) bool | (int, uint) bool | (uint, double) bool | (uint, int) bool | (double, int) bool |
    (double, uint) bool
_==_ (A, A) bool
_>=_ ({T}, {T}) bool | (int, double) bool | (int, uint) bool | (uint, double) bool | (uint, int) bool | (double, int) bool |
    (double, uint) bool
_>_ ({T}, {T}) bool | (int, double) bool | (int, uint) bool | (uint, double) bool | (uint, int) bool | (double, int) bool |
    (double, uint) bool
_?_:_ (bool, A, A) A
_[?_] (list<V>, int) optional<V> | (optional<list<V>>, int) optional<V> | (map<K,V>, K) optional<V> |
    (optional<map<K,V>>, K) optional<V>
_[_] (list<A>, int) A | (map<A,B>, A) B | (optional<list<V>>, int) optional<V> | (optional<map<K,V>>, K) optional<V>
_||_ (bool, bool) bool
add .(Quantity, Quantity) Quantity | .(Quantity, int) Quantity
allowed .(authorization.Decision) bool
asApproximateFloat .(Quantity) double
asInteger .(Quantity) int
bool (bool) bool | (string) bool
bytes (bytes) bytes | (string) bytes
cel.@mapInsert (map<K,V>, K, V) map<K,V> | (map<K,V>, map<K,V>) map<K,V>
charAt .(string, int) string
check .(authorization.PathCheck, string) authorization.Decision | .(authorization.ResourceCheck, string) authorization.Decision
cidr (string) CIDR
compareTo .(Quantity, Quantity) int | .(Semver, Semver) int
contains .(string, string) bool
containsCIDR .(CIDR, string) bool | .(CIDR, CIDR) bool
containsIP .(CIDR, string) bool | .(CIDR, IP) bool
distinct .(list<T>) list<T>
double (double) double | (int) double | (string) double | (uint) double
duration (duration) duration | (string) duration
dyn (A) dyn
endsWith .(string, string) bool
error .(authorization.Decision) string
errored .(authorization.Decision) bool
family .(IP) int
fieldSelector .(authorization.ResourceCheck, string) authorization.ResourceCheck
find .(string, string) string
findAll .(string, string) list<string> | .(string, string, int) list<string>
first .(list<V>) optional<V>
flatten .(list<list<T>>) list<T> | .(list<dyn>, int) list<dyn>
format .(string, list<dyn>) string
format.byte () NamedFormat
format.date () NamedFormat
format.datetime () NamedFormat
format.dns1035Label () NamedFormat
format.dns1035LabelPrefix () NamedFormat
format.dns1123Label () NamedFormat
format.dns1123LabelPrefix () NamedFormat
format.dns1123Subdomain () NamedFormat
format.dns1123SubdomainPrefix () NamedFormat
format.labelValue () NamedFormat
format.named (string) optional<NamedFormat>
format.qualifiedName () NamedFormat
format.uri () NamedFormat
format.uuid () NamedFormat
getDate .(timestamp) int | .(timestamp, string) int
getDayOfMonth .(timestamp) int | .(timestamp, string) int
getDayOfWeek .(timestamp) int | .(timestamp, string) int
getDayOfYear .(timestamp) int | .(timestamp, string) int
getEscapedPath .(URL) string
getFullYear .(timestamp) int | .(timestamp, string) int
getHost .(URL) string
getHostname .(URL) string
getHours .(timestamp) int | .(timestamp, string) int | .(duration) int
getMilliseconds .(timestamp) int | .(timestamp, string) int | .(duration) int
getMinutes .(timestamp) int | .(timestamp, string) int | .(duration) int
getMonth .(timestamp) int | .(timestamp, string) int
getPort .(URL) string
getQuery .(URL) map<string,list<string>>
getScheme .(URL) string
getSeconds .(timestamp) int | .(timestamp, string) int | .(duration) int
group .(authorization.Authorizer, string) authorization.GroupCheck
hasValue .(optional<V>) bool
indexOf .(list<A>, A) int | .(string, string) int | .(string, string, int) int
int (int) int | (double) int | (duration) int | (string) int | (timestamp) int | (uint) int
ip (string) IP | .(CIDR) IP
ip.isCanonical (string) bool
isCIDR (string) bool
isGlobalUnicast .(IP) bool
isGreaterThan .(Quantity, Quantity) bool | .(Semver, Semver) bool
isIP (string) bool
isInteger .(Quantity) bool
isLessThan .(Quantity, Quantity) bool | .(Semver, Semver) bool
isLinkLocalMulticast .(IP) bool
isLinkLocalUnicast .(IP) bool
isLoopback .(IP) bool
isQuantity (string) bool
isSemver (string) bool | (string, bool) bool
isSorted .(list<{T}>) bool
isURL (string) bool
isUnspecified .(IP) bool
jsonpatch.escapeKey (string) string
join .(list<string>) string | .(list<string>, string) string
labelSelector .(authorization.ResourceCheck, string) authorization.ResourceCheck
last .(list<V>) optional<V>
lastIndexOf .(list<A>, A) int | .(string, string) int | .(string, string, int) int
lists.range (int) list<int>
lowerAscii .(string) string
major .(Semver) int
masked .(CIDR) CIDR
matches (string, string) bool | .(string, string) bool
max .(list<{T}>) {T}
min .(list<{T}>) {T}
minor .(Semver) int
name .(authorization.ResourceCheck, string) authorization.ResourceCheck
namespace .(authorization.ResourceCheck, string) authorization.ResourceCheck
optional.none () optional<V>
optional.of (V) optional<V>
optional.ofNonZeroValue (V) optional<V>
optional.unwrap (list<optional<V>>) list<V>
or .(optional<V>, optional<V>) optional<V>
orValue .(optional<V>, V) V
patch .(Semver) int
path .(authorization.Authorizer, string) authorization.PathCheck
prefixLength .(CIDR) int
quantity (string) Quantity
reason .(authorization.Decision) string
replace .(string, string, string) string | .(string, string, string, int) string
resource .(authorization.GroupCheck, string) authorization.ResourceCheck
reverse .(list<T>) list<T>
semver (string) Semver | (string, bool) Semver
serviceAccount .(authorization.Authorizer, string, string) authorization.Authorizer
sets.contains (list<T>, list<T>) bool
sets.equivalent (list<T>, list<T>) bool
sets.intersects (list<T>, list<T>) bool
sign (Quantity) int
size (bytes) int | .(bytes) int | (list<A>) int | .(list<A>) int | (map<A,B>) int | .(map<A,B>) int | (string) int |
    .(string) int
slice .(list<T>, int, int) list<T>
sort .(list<{T}>) list<{T}>
split .(string, string) list<string> | .(string, string, int) list<string>
startsWith .(string, string) bool
string (string) string | (bool) string | (bytes) string | (double) string | (duration) string | (int) string |
    (timestamp) string | (uint) string | (IP) string | (CIDR) string
strings.quote (string) string
sub .(Quantity, Quantity) Quantity | .(Quantity, int) Quantity
subresource .(authorization.ResourceCheck, string) authorization.ResourceCheck
substring .(string, int) string | .(string, int, int) string
sum .(list<int>) int | .(list<uint>) uint | .(list<double>) double | .(list<duration>) duration
timestamp (timestamp) timestamp | (int) timestamp | (string) timestamp
trim .(string) string
type (A) type<A>
uint (uint) uint | (double) uint | (int) uint | (string) uint
unwrapOpt .(list<optional<V>>) list<V>
upperAscii .(string) string
url (string) URL
validate .(NamedFormat, string) optional<list<string>>
value .(optional<V>) V
"""


@cache
def functions() -> dict[str, tuple[Overload, ...]]:
    """The overloads of each function by its name. Operators have names as `_+_`."""
    found: dict[str, tuple[Overload, ...]] = {}
    for line in re.sub(r"\|\n *", "| ", _DECLARATIONS).splitlines():
        name, _, signatures = line.partition(" ")
        found[name] = tuple(overload for each in signatures.split(" | ") for overload in _overloads(each.strip()))
    return found


def _overloads(signature: str) -> list[Overload]:
    if "{T}" in signature:
        return [overload for each in _COMPARABLE for overload in _overloads(signature.replace("{T}", each))]
    match = _SIGNATURE.fullmatch(signature)
    assert match is not None, signature
    dot, parameters, result = match.groups()
    types = tuple(read(each) for each in _split(parameters))
    named = dict.fromkeys(each for found in (*types, read(result)) for each in _type_parameters(found))
    return [Overload(dot == ".", types, read(result), tuple(named))]


def _split(text: str) -> list[str]:
    return re.split(r", (?![^<]*>)", text) if text else []


def _type_parameters(found: Type) -> list[Type]:
    if found.kind == "param":
        return [found]
    return [each for part in found.parameters for each in _type_parameters(part)]
