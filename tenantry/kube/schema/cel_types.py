"""The types of CEL's checker, and which values may stand where a type is asked for (checker/types.go of cel-go)."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.kube.schema.cel_errors import CelError


class Type(NamedTuple):
    """A type. `kind` is dyn, null_type, bool, int, uint, double, string, bytes, timestamp, duration, list, map, struct, opaque,
    param, type, any or error. `name` is that of a struct, an opaque type or a type parameter."""

    kind: str
    name: str = ""
    parameters: tuple[Type, ...] = ()

    def __str__(self) -> str:
        """The type as cel-go's errors name it."""
        if self.kind == "null_type":
            return "null"
        if self.kind == "error":
            return "!error!"
        word = self.name or self.kind
        return f"{word}({', '.join(map(str, self.parameters))})" if self.parameters else word


DYN, ERROR, NULL = Type("dyn"), Type("error"), Type("null_type")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES = Type("string"), Type("bytes")
TIMESTAMP, DURATION = Type("timestamp"), Type("duration")


def list_of(item: Type) -> Type:
    return Type("list", "", (item,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "", (key, value))


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def type_of(inner: Type) -> Type:
    return Type("type", "", (inner,))


def is_optional(found: Type) -> bool:
    return found.kind == "opaque" and found.name == "optional_type"


def is_dyn(found: Type) -> bool:
    return found.kind == "dyn" or found.kind == "any"


_SCALARS = {each.kind: each for each in (DYN, NULL, BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)}


def read(text: str) -> Type:
    """A type from the notation of the declarations: `list<T>`, `map<string,int>`, `optional<V>`, `IP`. A capital letter is a type
    parameter."""
    text = text.strip()
    head, bracket, rest = text.partition("<")
    parameters = tuple(read(part) for part in _parts(rest.removesuffix(">"))) if bracket else ()
    if head in _SCALARS:
        return _SCALARS[head]
    if head in ("list", "map", "type"):
        return Type(head, "", parameters)
    if head == "optional":
        return optional_of(*parameters)
    if len(head) == 1:
        return Type("param", head)
    if head in ("IP", "CIDR"):
        return Type("opaque", f"net.{head}")
    return Type("struct", f"kubernetes.{head}")


def _parts(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "<") - (character == ">")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


_NULLABLE = frozenset(("opaque", "struct", "any", "duration", "timestamp"))
_NESTED = frozenset(("opaque", "list", "map"))
_ANYTHING = frozenset(("dyn", "any", "error"))
_WORK_MAX = 100_000


class TypesTooLarge(CelError):
    def __init__(self) -> None:
        super().__init__("ERROR: <input>:-1:0: the types of the expression are too large")


class Inference:
    """What the type parameters of an expression stand for. Types can double with each step of an expression, so its work is
    bounded. Raises TypesTooLarge."""

    def __init__(self) -> None:
        self._known: dict[Type, Type] = {}
        self._trial: dict[Type, Type] = {}
        self._work = 0

    def assign(self, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        """Whether values of the given types can stand for the wanted ones. Then parameters stand for what makes it so."""
        self._trial = {}
        if not self._all_assignable(given, wanted):
            return False
        self._known |= self._trial
        self._trial = {}
        return True

    def substitute(self, found: Type, *, to_dyn: bool = False) -> Type:
        """A type with what its parameters stand for. `to_dyn`: those that stand for nothing become dyn."""
        if found.kind == "param":
            self._spend()
            known = self._known.get(found)
            if known is not None:
                return self.substitute(known, to_dyn=to_dyn)
            return DYN if to_dyn else found
        if not found.parameters:
            return found
        self._spend()
        return Type(found.kind, found.name, tuple(self.substitute(part, to_dyn=to_dyn) for part in found.parameters))

    def resolve(self, found: Type, known: dict[int, Type]) -> Type:
        """A type where all is inferred, without parameters. `known`: the results for types by their id(), which stay alive."""
        made = known.get(id(found))
        if made is None:
            if found.kind == "param":
                made = self.substitute(found, to_dyn=True)
            else:
                made = found
                if found.parameters:
                    made = Type(found.kind, found.name, tuple(self.resolve(part, known) for part in found.parameters))
            known[id(found)] = made
        return made

    def _spend(self) -> None:
        self._work += 1
        if self._work > _WORK_MAX:
            raise TypesTooLarge

    def _find(self, parameter: Type) -> Type | None:
        found = self._trial.get(parameter)
        return self._known.get(parameter) if found is None else found

    def _all_assignable(self, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        if len(given) != len(wanted):
            return False
        return all(self._assignable(one, other) for one, other in zip(given, wanted, strict=True))

    def _assignable(self, given: Type, wanted: Type) -> bool:
        if given.parameters:
            self._spend()
        if wanted.kind == "param":
            valid, has_one = self._stands_for(given, wanted)
            if valid or has_one:
                return valid
        if given.kind == "param":
            return self._stands_for(wanted, given)[0]
        if given.kind in _ANYTHING or wanted.kind in _ANYTHING:
            return True
        if given.kind == "null_type" or wanted.kind == "null_type":
            other = wanted if given.kind == "null_type" else given
            return other.kind in _NULLABLE or other.kind == "null_type"
        if given.kind == "type":
            return wanted.kind == "type"
        if given.kind in _NESTED:
            same = given.kind == wanted.kind and given.name == wanted.name
            return same and self._all_assignable(given.parameters, wanted.parameters)
        return given == wanted

    def _stands_for(self, found: Type, parameter: Type) -> tuple[bool, bool]:
        """Whether a type parameter can stand for a type, and whether it stood for one before."""
        if found == parameter:
            return True, True
        known = self._find(parameter)
        if known is not None:
            if found == known:
                return True, True
            if self._assignable(found, known):
                general = most_general(found, known)
                if self._is_absent(parameter, general):
                    self._trial[parameter] = general
                return True, True
            return False, True
        if self._is_absent(parameter, found):
            self._trial[parameter] = found
            return True, False
        return False, False

    def _is_absent(self, parameter: Type, within: Type) -> bool:
        """Whether a parameter does not occur in a type, so that it can stand for it."""
        self._spend()
        if parameter == within:
            return False
        if within.kind == "param":
            known = self._find(within)
            return known is None or self._is_absent(parameter, known)
        return all(self._is_absent(parameter, part) for part in within.parameters)


def most_general(one: Type, other: Type) -> Type:
    return one if _is_as_general(one, other) else other


def _is_as_general(one: Type, other: Type) -> bool:
    if is_dyn(one) or one.kind == "param":
        return True
    if is_dyn(other) or other.kind == "param" or one.kind != other.kind:
        return False
    if one.kind in _NESTED:
        same = one.name == other.name and len(one.parameters) == len(other.parameters)
        return same and all(_is_as_general(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))
    return one.kind == "type" or one == other


def renamed(found: Type, names: dict[Type, Type]) -> Type:
    """A type with other type parameters."""
    if found.kind == "param":
        return names.get(found, found)
    return Type(found.kind, found.name, tuple(renamed(part, names) for part in found.parameters)) if found.parameters else found


def equivalent(one: Type, other: Type) -> bool:
    """Whether two types are the same, where parameters of types are not looked at by name."""
    if one.kind != other.kind or len(one.parameters) != len(other.parameters):
        return False
    if one.kind != "param" and one.name != other.name:
        return False
    return all(equivalent(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))
