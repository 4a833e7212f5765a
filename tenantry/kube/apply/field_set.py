"""Sets of field paths, in the same form as fieldsV1 on the wire (structured-merge-diff's fieldpath.Set).

A set is a dict from path element to the set below it. Elements: `f:name` is a field, `k:{"a":"x"}` a list item by its keys,
`v:"x"` an item of a set of scalars, `i:0` an index. An empty dict below an element means that the element itself is a member. An
element with others below it is a member only where `.` is one of them. The root has no `.`.

Because of this form, an update neither parses nor prints the field sets of its object. A set is never changed after it is built,
so objects can share sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from tenantry.kube.field_errors import VALUE_CHARACTERS
from tenantry.kube.go_text import quote
from tenantry.kube.numbers import canonical, json_text
from tenantry.kube.status import cut

FieldSet = dict[str, Any]
Path = tuple[str, ...]

EMPTY: FieldSet = {}
_MEMBER: FieldSet = {}


def is_member(child: FieldSet) -> bool:
    """Whether the element above this child is itself a member of the set."""
    return not child or "." in child


def as_member(child: FieldSet | None) -> FieldSet:
    """The child, with its element made a member."""
    if not child:
        return _MEMBER
    return child if "." in child else {".": _MEMBER, **child}


def _node(member: bool, children: FieldSet) -> FieldSet | None:
    """The child at an element. None where neither the element nor anything below it is in the set."""
    if member:
        return {".": _MEMBER, **children} if children else _MEMBER
    return children or None


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """The elements that are in either set."""
    if not right or left is right:
        return left
    if not left:
        return right
    out = dict(left)
    for element, theirs in right.items():
        ours = out.get(element)
        if ours is None:
            out[element] = theirs
        elif element == ".":
            continue
        elif not ours:
            out[element] = as_member(theirs)
        elif not theirs:
            out[element] = as_member(ours)
        else:
            out[element] = union(ours, theirs)
    return out


def union_all(sets: Iterable[FieldSet]) -> FieldSet:
    """The elements that are in any of the sets. Faster than `union` of one after the other, which would copy the result each
    time."""
    parts = [each for each in sets if each]
    if len(parts) < 2:
        return parts[0] if parts else EMPTY
    children: dict[str, list[FieldSet]] = {}
    for part in parts:
        for element, below in part.items():
            children.setdefault(element, []).append(below)
    out: FieldSet = {}
    for element, those in children.items():
        if element == ".":
            out[element] = _MEMBER
        elif len(those) == 1:
            out[element] = those[0]
        else:
            below = union_all(those)
            out[element] = as_member(below) if any(map(is_member, those)) else below
    return out


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The elements that are in both sets."""
    out: FieldSet = {}
    for element, ours in left.items():
        theirs = right.get(element)
        if theirs is None or element == ".":
            continue
        children = intersection(ours, theirs) if ours and theirs else _MEMBER
        node = _node(is_member(ours) and is_member(theirs), children)
        if node is not None:
            out[element] = node
    return out


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The elements of the left set that are not in the right one. Removing an element does not remove the elements below it."""
    if not right or not left:
        return left
    out: FieldSet = {}
    for element, ours in left.items():
        if element == ".":
            continue
        theirs = right.get(element)
        if theirs is None:
            out[element] = ours
            continue
        children = difference(_below(ours), theirs) if ours else _MEMBER
        node = _node(is_member(ours) and not is_member(theirs), children)
        if node is not None:
            out[element] = node
    return out


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """As `difference`, but removing an element also removes all elements below it."""
    if not right or not left:
        return left
    out: FieldSet = {}
    for element, ours in left.items():
        theirs = right.get(element)
        if theirs is None or element == ".":
            out[element] = ours
            continue
        if is_member(theirs):
            continue
        children = recursive_difference(_below(ours), theirs) if ours else _MEMBER
        node = _node(is_member(ours), children)
        if node is not None:
            out[element] = node
    return out


def _below(child: FieldSet) -> FieldSet:
    """The children, without the `.` element."""
    if "." not in child:
        return child
    return {element: grandchild for element, grandchild in child.items() if element != "."}


def of_paths(paths: Iterable[Path]) -> FieldSet:
    """The set of exactly these paths (their parents are not in it)."""
    out: FieldSet = {}
    for path in paths:
        node = _MEMBER
        for element in reversed(path[1:]):
            node = {element: node}
        if path:
            out = union(out, {path[0]: node})
    return out


def field_path(*names: str) -> Path:
    """The path of nested fields."""
    return tuple(f"f:{name}" for name in names)


def paths(fields: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """Every member. Members of a level come before those below them; each level is in order."""
    elements = sorted(element for element in fields if element != ".")
    for element in elements:
        if is_member(fields[element]):
            yield (*prefix, element)
    for element in elements:
        if fields[element]:
            yield from paths(fields[element], (*prefix, element))


def size(fields: FieldSet) -> int:
    """The number of members."""
    return sum(is_member(below) + (size(below) if below else 0) for element, below in fields.items() if element != ".")


def has(fields: FieldSet, path: Path) -> bool:
    child: FieldSet | None = fields
    for element in path:
        child = child.get(element) if child else None
        if child is None:
            return False
    return bool(path) and is_member(child or _MEMBER)


def ordered(fields: FieldSet) -> FieldSet:
    """The same set with elements in upstream's order (`.` first)."""
    return {element: ordered(fields[element]) if fields[element] else _MEMBER for element in sorted(fields)}


def scalar_text(value: Any) -> str:
    """A scalar as JSON in a path element. HTML's special characters are escaped, as in Go's encoder."""
    if type(value) is float:
        value = canonical(value)
        if type(value) is float:
            return json_text(value)
    text = orjson.dumps(value).decode()
    if "<" in text or ">" in text or "&" in text or "\u2028" in text or "\u2029" in text:
        for character in "<>&\u2028\u2029":
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def key_element(keys: Mapping[str, Any]) -> str:
    """The path element of a list item with these key fields."""
    return "k:{" + ",".join(f"{scalar_text(name)}:{scalar_text(keys[name])}" for name in sorted(keys)) + "}"


def value_element(value: Any) -> str:
    """The path element of a scalar in a set."""
    return "v:" + scalar_text(value)


def display(path: Path) -> str:
    """A path as conflicts and errors print it: `.spec.ports[port=80,protocol="TCP"].name`. Long values are cut."""
    text = ""
    for element in path:
        text += _display_element(element)
        if len(text) > VALUE_CHARACTERS:
            break
    return cut(text, VALUE_CHARACTERS)


def _display_element(element: str) -> str:
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return "." + text
    if kind == "i:":
        return f"[{text}]"
    value = orjson.loads(text)
    if kind == "v:":
        return f"[={_display_value(value)}]"
    return "[" + ",".join(f"{name}={_display_value(value[name])}" for name in sorted(value)) + "]"


def _display_value(value: Any) -> str:
    return quote(value) if isinstance(value, str) else scalar_text(value)


def decode(fields: Any) -> FieldSet:
    """A set from fieldsV1 that a client may have written. Elements become canonical; unknown kinds of elements are dropped.

    Raises ValueError where it is not a set.
    """
    out, _ = _decode(fields)
    return out


def _decode(fields: Any) -> tuple[FieldSet, bool]:
    """The children, and whether the element above them is a member."""
    if fields is None:
        return _MEMBER, True
    if not isinstance(fields, dict):
        raise ValueError("fieldsV1 is not an object")
    nodes: dict[str, list[FieldSet]] = {}
    for text, below in fields.items():
        if text == ".":
            continue
        element = _canonical_element(text)
        if element is None:
            continue
        children, member = _decode(below)
        node = _node(member, children)
        if node is not None:
            nodes.setdefault(element, []).append(node)
    # The same element may be written in several ways, and so occur twice.
    out = {
        element: those[0] if len(those) == 1 else union_all([{element: node} for node in those])[element]
        for element, those in nodes.items()
    }
    return out, "." in fields or not out


def _canonical_element(text: str) -> str | None:
    if len(text) < 2:
        raise ValueError("key must be 2 characters long:")
    if text[1] != ":":
        raise ValueError(f"missing colon: {text}")
    kind = text[0]
    if kind == "f":
        return text
    try:
        if kind == "v":
            return value_element(orjson.loads(text[2:]))
        if kind == "k":
            keys = orjson.loads(text[2:])
            if not isinstance(keys, dict):
                raise ValueError(f"not an object: {text}")
            return key_element(keys)
    except TypeError as error:
        # orjson reads deeper nesting than it writes.
        raise ValueError(f"exceeded max depth: {text[:2]}") from error
    if kind == "i":
        return f"i:{int(text[2:])}"
    return None
