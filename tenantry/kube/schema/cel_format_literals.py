"""Templates of `format` that are looked at when a rule is written: their clauses, and the types of what they show
(ext/formatting.go of cel-go)."""

from __future__ import annotations

import re

from tenantry.kube.schema.cel_syntax import CallNode, ListOf, Literal, MapOf, Node
from tenantry.kube.schema.cel_types import Type

_CLAUSE = re.compile(r"(\.([0-9]*))?(.?)", re.DOTALL)
_SHOWABLE = frozenset(
    ("list", "map", "int", "uint", "double", "bool", "string", "timestamp", "bytes", "duration", "type", "null_type", "dyn")
)
_VERBS: dict[str, tuple[frozenset[str], str]] = {
    "d": (frozenset(("int", "uint")), "decimal clause can only be used on integers"),
    "f": (frozenset(("double", "string")), "fixed-point clause can only be used on doubles"),
    "e": (frozenset(("double", "string")), "scientific clause can only be used on doubles"),
    "b": (frozenset(("int", "uint", "bool")), "only integers and bools can be formatted as binary"),
    "x": (frozenset(("int", "uint", "string", "bytes")), "only integers, byte buffers, and strings can be formatted as hex"),
    "o": (frozenset(("int", "uint")), "octal clause can only be used on integers"),
}
_VERBS["X"] = _VERBS["x"]
_STRING = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
_NAMES = {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}


def format_issue(node: CallNode, types: dict[int, Type]) -> tuple[int, str] | None:
    """What is wrong with a call of `format` whose template and list are literals: (the id of a node, a text)."""
    if not isinstance(node.target, Literal) or type(node.target.value) is not str or not node.arguments:
        return None
    shown = node.arguments[0]
    if not isinstance(shown, ListOf):
        return None
    template, place, position = node.target.value, 0, 0
    while (position := template.find("%", position)) >= 0:
        position += 1
        if position >= len(template):
            return node.id, "unexpected end of string"
        if template[position] == "%":
            position += 1
            continue
        if place >= len(shown.items):
            return node.id, f"index {place} out of range"
        match = _CLAUSE.match(template, position)
        assert match is not None
        position = match.end()
        precision, digits, verb = match.groups()
        if precision and not digits:
            reason = 'error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax'
            return node.id, f"could not parse formatting clause: error while parsing precision: {reason}"
        if verb != "s" and verb not in _VERBS:
            return node.id, f'could not parse formatting clause: unrecognized formatting clause "{verb}"'
        wrong = _wrong(verb, shown.items[place], types)
        if wrong is not None:
            return wrong
        place += 1
    if place < len(shown.items):
        return node.id, f"too many arguments supplied to string.format (expected {place}, got {len(shown.items)})"
    return None


def _wrong(verb: str, node: Node, types: dict[int, Type]) -> tuple[int, str] | None:
    if verb == "s":
        identity = _not_showable(node, types)
        return None if identity is None else (identity, _given(_STRING, types[identity]))
    allowed, text = _VERBS[verb]
    found = types[node.id]
    return None if found.kind in allowed or found.kind == "dyn" else (node.id, _given(text, found))


def _given(text: str, found: Type) -> str:
    return f"error during formatting: {text}, was given {found.name or _NAMES.get(found.kind, found.kind)}"


def _not_showable(node: Node, types: dict[int, Type]) -> int | None:
    """The id of a node that `%s` does not show, in a list or a map, too."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if types[each.id].kind not in _SHOWABLE:
            return each.id
        if isinstance(each, ListOf):
            waiting.extend(reversed(each.items))
        elif isinstance(each, MapOf):
            waiting.extend(part for entry in reversed(each.entries) for part in (entry.value, entry.key))
    return None
