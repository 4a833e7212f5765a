"""Strategic merge patch: a merge patch that merges lists by a key of their items (apimachinery's strategicpatch).

The type's schema gives the keys with `patch_strategy` and `patch_merge_key`. A patch may have directives: `$patch` (replace,
delete), `$deleteFromPrimitiveList/<list>`, `$setElementOrder/<list>`, `$retainKeys`.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from tenantry.kube import go_text
from tenantry.kube.field_errors import VALUE_CHARACTERS
from tenantry.kube.patch.element_order import enforce_order
from tenantry.kube.patch.json_values import check_depth, copy_of, equal, identity, json_type
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import StatusError, bad_request, cut

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_PREFIX = "$deleteFromPrimitiveList"
_ORDER_PREFIX = "$setElementOrder"
_UNKNOWN = Schema()

Map = dict[str, Any]


def apply(document: Any, patch: Any, schema: Schema) -> Any:
    """The document after the patch. It shares nothing with its inputs. A null patch changes nothing.

    Raises StatusError: 400 where the patch or a directive has a wrong form, 422 for lists of lists, and 500 (upstream's code)
    where it cannot be merged: an unknown directive, an item without its key, items of different types.
    """
    if patch is None:
        patch = {}
    if not isinstance(patch, dict):
        raise bad_request(f"json: cannot unmarshal {json_type(patch)} into Go value of type map[string]interface {{}}")
    check_depth(patch)
    return _merge_maps(copy_of(document), copy_of(patch), schema)


def _failure(message: str) -> StatusError:
    return StatusError(500, "", message)


def _bad_form(what: str) -> StatusError:
    return bad_request(f"invalid patch format of {what}")


def _bad_argument(expected: str, actual: Any) -> StatusError:
    return _failure(f"expected a {expected}, but received a {go_text.type_name(actual)}")


def _no_key(item: Map, key: str) -> StatusError:
    return _failure(f"map: {_shown(item)} does not contain declared merge key: {key}")


def _shown(value: Any) -> str:
    return cut(go_text.plain(value), VALUE_CHARACTERS)


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _bad_argument("[]interface {}", value)
    return value


def _merge_maps(original: Map | None, patch: Map, schema: Schema) -> Map:
    if _DIRECTIVE in patch:
        directive = patch[_DIRECTIVE]
        if directive == "replace":
            del patch[_DIRECTIVE]
            return patch
        if directive == "delete":
            return {}
        raise _failure(f"unknown patch type: {_shown(directive)} in map: {_shown(patch)}")
    out = original if original is not None else {}
    _retain_keys(out, patch)
    _set_element_orders(out, patch, schema)
    for key, value in patch.items():
        if key.startswith(_DELETE_PREFIX):
            key = _target(key, _DELETE_PREFIX, "primitive list")
            if value is None:
                out.pop(key, None)
            elif isinstance(out.get(key), list) and isinstance(value, list):
                out[key] = _merge_lists(out[key], value, _field_schema(schema, key), delete=True)
        elif value is None:
            out.pop(key, None)
        else:
            _merge_value(out, key, value, schema)
    return out


def _merge_value(out: Map, key: str, value: Any, schema: Schema) -> None:
    current = out.get(key)
    if isinstance(current, dict) and isinstance(value, dict):
        below = _field_schema(schema, key)
        out[key] = value if _strategy(below) == "replace" else _merge_maps(current, value, below)
    elif isinstance(current, list) and isinstance(value, list):
        below = _field_schema(schema, key)
        out[key] = _merge_lists(current, value, below) if _strategy(below) == "merge" else value
    else:
        _discard_nulls(value)
        kept, keep = _without_directives(value)
        if keep:
            out[key] = kept
        else:
            out.pop(key, None)


def _field_schema(schema: Schema, key: str) -> Schema:
    found = schema.properties.get(key)
    if found is not None:
        return found
    if isinstance(schema.additional, Schema):
        return schema.additional
    name = schema.ref.rpartition(".")[2]
    if not schema.properties and name != "RawExtension":
        return _UNKNOWN
    raise _failure(f"unable to find api field in struct {name} for the json field {go_text.quote(key)}")


def _strategy(schema: Schema) -> str:
    """The field's merge strategy without `retainKeys`, which only concerns the directive."""
    return next((word for word in schema.patch_strategy if word != "retainKeys"), "")


def _target(key: str, prefix: str, what: str) -> str:
    """The field that a directive with a prefix refers to."""
    head, slash, name = key.partition("/")
    if not slash or head != prefix:
        raise _bad_form(what)
    return name


def _retain_keys(original: Map, patch: Map) -> None:
    """Applies `$retainKeys`: removes fields that it does not name. The patch may not set other fields."""
    if _RETAIN_KEYS not in patch:
        return
    names = patch.pop(_RETAIN_KEYS)
    if not isinstance(names, list):
        raise _bad_form("retainKeys")
    kept = {name for name in names if isinstance(name, str)}
    for key, value in patch.items():
        directive = key.startswith((_DELETE_PREFIX, _ORDER_PREFIX))
        if value is not None and not directive and key not in kept:
            raise _bad_form("retainKeys")
    for key in [key for key in original if key not in kept]:
        del original[key]


def _set_element_orders(original: Map, patch: Map, schema: Schema) -> None:
    """Applies `$setElementOrder/<list>`: merges that list now, in this order, and removes both from the patch."""
    for directive in [key for key in patch if key.startswith(_ORDER_PREFIX)]:
        order = _as_list(patch.pop(directive))
        key = _target(directive, _ORDER_PREFIX, "setElementOrder list")
        current = _as_list(original[key]) if key in original else None
        wanted = _as_list(patch[key]) if key in patch else None
        below = _field_schema(schema, key)
        merge_key = below.patch_merge_key
        _check_order(wanted or [], order, merge_key)
        if current is None and wanted is None:
            continue
        if wanted is None:
            merged = current or []
        elif current is None:
            merged = _without_directives(wanted)[0]
        elif _strategy(below) == "merge":
            merged = _merge_lists(list(current), wanted, below)
        else:
            merged = wanted
        _require_same_type(current or [], wanted or [])
        original[key] = enforce_order(merged, order, current or [], merge_key, no_key=_no_key)
        patch.pop(key, None)


def _check_order(wanted: list[Any], order: list[Any], merge_key: str) -> None:
    """Raises where an item of the patch list is not in the order list, or in another relative order."""
    if not order or not wanted:
        return
    remaining = [item for item in wanted if not (isinstance(item, dict) and _DIRECTIVE in item)]
    position = 0
    for item in order:
        if position == len(remaining):
            return
        if equal(_key_of(remaining[position], merge_key), _key_of(item, merge_key)):
            position += 1
    if position < len(remaining):
        raise _failure(f"The order in patch list:\n{_shown(wanted)}\n doesn't match {_ORDER_PREFIX} list:\n{_shown(order)}\n")


def _key_of(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    if not isinstance(item, dict):
        raise _bad_argument("map[string]interface {}", item)
    if merge_key not in item:
        raise _no_key(item, merge_key)
    return item[merge_key]


def _require_same_type(*lists: list[Any]) -> str:
    """The type of all items, as Go names it. Raises for items of different types, for lists of lists, and for an empty list."""
    types = [go_text.type_name(item) for items in lists for item in items]
    if not types:
        raise _failure("no elements in any of the given slices")
    if types[0] == "[]interface {}":
        raise StatusError(422, "Invalid", "the server rejected our request due to an error in our request", details={})
    if any(name != types[0] for name in types):
        raise _failure(f"list element types are not identical: {_shown(list(lists))}")
    return types[0]


def _merge_lists(original: list[Any], patch: list[Any], schema: Schema, *, delete: bool = False) -> list[Any]:
    if not original and not patch:
        return original
    merge_key = schema.patch_merge_key
    if _require_same_type(original, patch) != "map[string]interface {}":
        if delete:
            gone = set(map(identity, patch))
            return [item for item in original if identity(item) not in gone]
        once: dict[Any, Any] = {}
        for item in chain(original, patch):
            once.setdefault(identity(item), item)
        merged = list(once.values())
    else:
        if not merge_key:
            raise _failure("cannot merge lists without merge key for struct")
        original, patch = _special_items(original, patch, merge_key)
        merged = list(original)
        places: dict[Any, int] = {}
        for place, item in enumerate(merged):
            if merge_key in item:
                places.setdefault(identity(item[merge_key]), place)
        for item in patch:
            found = places.setdefault(identity(_key_of(item, merge_key)), len(merged))
            if found == len(merged):
                merged.append(item)
            else:
                merged[found] = _merge_maps(merged[found], item, schema.items or _UNKNOWN)
    return enforce_order(merged, patch, original, merge_key, no_key=_no_key)


def _special_items(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Applies the items with `$patch`. Returns the other items of the patch, and what is left of the original."""
    rest = []
    replace = False
    gone = set()
    for item in patch:
        directive = item.get(_DIRECTIVE)
        if _DIRECTIVE not in item:
            rest.append(item)
        elif directive == "delete":
            gone.add(identity(_key_of(item, merge_key)))
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _failure("merging lists cannot yet be specified in the patch")
        else:
            raise _failure(f"unknown patch type: {_shown(directive)} in map: {_shown(item)}")
    if gone:
        original = [other for other in original if merge_key not in other or identity(other[merge_key]) not in gone]
    return (rest, []) if replace else (original, rest)


def _discard_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for key in [key for key, below in value.items() if below is None]:
            del value[key]
        for below in value.values():
            _discard_nulls(below)
    elif isinstance(value, list):
        for item in value:
            _discard_nulls(item)


def _without_directives(value: Any) -> tuple[Any, bool]:
    """A new value without maps that have `$patch`, and whether the value itself is kept."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return None, False
        parts = {key: _without_directives(below) for key, below in value.items()}
        return {key: kept for key, (kept, keep) in parts.items() if keep}, True
    if isinstance(value, list):
        return [kept for kept, keep in map(_without_directives, value) if keep], True
    return value, True
