"""Any schema, any object, any hidden fields, any edit: what is stored has the edit and all hidden fields at their places, or the
write is refused."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.apply import field_set
from tenantry.kube.apply.owned_fields import fields_of
from tenantry.kube.apply.typed import compile_schema
from tenantry.kube.schema.structural import Schema
from tenantry.virtual.declared.hidden.carry_over import carry_over
from tenantry.virtual.declared.hidden.managers import managers_shown, managers_stored, parts_of
from tenantry.virtual.declared.hidden.paths import HERE, Paths, below, found, remove

NAMES = ("a", "b", "c.d", "c")
KEY = "name"
TEXT = Schema(type="string")
SCALARS = st.sampled_from(["", "x", "y", "z"])


def _objects(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.dictionaries(st.sampled_from(NAMES), inner, max_size=3).map(lambda made: Schema(type="object", properties=made))


def _keyed(items: Schema) -> Schema:
    properties = {KEY: TEXT, **items.properties}
    return Schema(type="array", items=Schema(type="object", properties=properties), list_type="map", list_map_keys=(KEY,))


def _deeper(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.one_of(
        _objects(inner),
        inner.map(lambda each: Schema(type="object", additional=each)),
        _objects(inner).map(_keyed),
        inner.map(lambda each: Schema(type="array", items=each, list_type="atomic")),
    )


SCHEMAS = _objects(st.recursive(st.just(TEXT), _deeper, max_leaves=8))


def values(schema: Schema) -> st.SearchStrategy[Any]:
    if schema.properties:
        optional = {name: values(inner) for name, inner in schema.properties.items() if name != KEY}
        return st.fixed_dictionaries({KEY: SCALARS} if KEY in schema.properties else {}, optional=optional)
    if isinstance(schema.additional, Schema):
        return st.dictionaries(st.sampled_from(NAMES), values(schema.additional), max_size=3)
    if schema.items is not None:
        unique = (lambda item: item[KEY]) if schema.list_type == "map" else None
        return st.lists(values(schema.items), max_size=3, unique_by=unique)
    return SCALARS if schema.type == "string" else st.just({})


@st.composite
def hidden(draw: st.DrawFn, schema: Schema) -> tuple[str, ...]:
    """A path of a schema."""
    parts: list[str] = []
    while True:
        while schema.items is not None:
            schema = schema.items
        names = list(schema.properties) or (list(NAMES) if isinstance(schema.additional, Schema) else [])
        if not names or (parts and draw(st.booleans())):
            return tuple(parts) or ("a",)
        name = draw(st.sampled_from(names))
        parts += name.split(".")
        schema = schema.properties.get(name) or schema.additional  # type: ignore[assignment]


@st.composite
def edited(draw: st.DrawFn, value: Any, schema: Schema) -> Any:
    """The value after a client has worked on it."""
    if draw(st.integers(0, 3)) == 0:
        return draw(values(schema))
    if isinstance(value, dict):
        made = {}
        for name, inner in value.items():
            below_it = schema.properties.get(name) or schema.additional
            if name == KEY or draw(st.integers(0, 5)):
                made[name] = draw(edited(inner, below_it)) if name != KEY and isinstance(below_it, Schema) else inner
        return made
    if isinstance(value, list) and schema.items is not None:
        kept = [draw(edited(item, schema.items)) for item in value if draw(st.integers(0, 5))]
        return draw(st.permutations(kept)) if draw(st.booleans()) else kept
    return value


def places(value: Any, schema: Schema | None, paths: Paths, at: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Each hidden value by where it is: by keys in a list that has them, else by numbers."""
    out: dict[tuple[Any, ...], Any] = {}
    if isinstance(value, list):
        keyed = schema is not None and schema.list_type == "map" and not below({KEY: ""}, paths)
        for number, item in enumerate(value):
            out |= places(item, schema.items if schema else None, paths, (*at, item[KEY] if keyed else number))
    elif isinstance(value, dict):
        for name, rests in below(value, paths).items():
            inner = (schema.properties.get(name) or schema.additional) if schema is not None else None
            if HERE in rests:
                out[*at, name] = value[name]
            else:
                out |= places(value[name], inner if isinstance(inner, Schema) else None, rests, (*at, name))
    return out


def seen(value: Any, paths: Paths) -> Any:
    made = copy.deepcopy(value)
    remove(made, paths)
    return made


def filled(value: Any) -> Any:
    """The value without objects in which there is nothing: a client may leave them out."""
    if isinstance(value, list):
        return [filled(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {name: filled(each) for name, each in value.items()}
    return {name: each for name, each in inner.items() if each != {}}


@given(st.data())
def test_what_is_stored_has_the_edit_and_what_was_hidden(data: st.DataObject) -> None:
    schema = data.draw(SCHEMAS)
    stored = data.draw(values(schema))
    paths = data.draw(st.lists(hidden(schema), min_size=1, max_size=3))
    sent = seen(data.draw(edited(seen(stored, paths), schema)), paths)
    made = copy.deepcopy(sent)
    if carry_over(made, copy.deepcopy(stored), paths, schema):
        return
    assert places(made, schema, paths) == places(stored, schema, paths)
    assert filled(seen(made, paths)) == filled(sent)


@given(st.data())
def test_what_is_sent_back_as_it_was_changes_nothing(data: st.DataObject) -> None:
    schema = data.draw(SCHEMAS)
    stored = data.draw(values(schema))
    paths = data.draw(st.lists(hidden(schema), min_size=1, max_size=3))
    shown = seen(stored, paths)
    assert not list(found(shown, paths))
    assert carry_over(shown, copy.deepcopy(stored), paths, schema) == []
    assert shown == stored


@given(st.data())
def test_managers_keep_what_they_own(data: st.DataObject) -> None:
    schema = data.draw(SCHEMAS)
    stored = data.draw(values(schema))
    paths = data.draw(st.lists(hidden(schema), min_size=1, max_size=3))
    fields = field_set.ordered(fields_of(compile_schema(schema), stored))
    shown, unseen = parts_of(fields, paths)
    assert field_set.union(shown, unseen) == fields and not field_set.intersection(shown, unseen)
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    entries = [entry] if fields else None
    assert managers_stored(managers_shown(entries, paths), entries, paths) == entries
    # Whoever takes the shown fields over, the hidden ones stay.
    kept = managers_stored(None, entries, paths)
    assert (kept[0]["fieldsV1"] if kept else {}) == unseen


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=2), st.data())
def test_items_without_keys_are_known_by_their_places(names: list[str], data: st.DataObject) -> None:
    """An order, a removal or an addition that moves an item is refused, so that nothing hidden gets to another item."""
    schema = Schema(type="object", properties={"l": Schema(type="array", items=Schema(type="object", properties={"n": TEXT}))})
    stored = {"l": [{"n": name, "s": f"of-{name}"} for name in names]}
    paths = [("l", "s")]
    sent = data.draw(st.permutations(names) | st.lists(st.sampled_from("abcdefgh"), unique=True))
    made: Any = {"l": [{"n": name} for name in sent]}
    changes = sum(1 for one, other in zip(names, sent, strict=False) if one != other)
    if carry_over(made, stored, paths, schema):
        assert len(sent) != len(names) or changes > 1
        return
    assert len(sent) == len(names) and changes <= 1
    assert made["l"] == [{"n": new, "s": f"of-{old}"} for new, old in zip(sent, names, strict=True)]


def test_long_paths_of_many_names() -> None:
    """As short ones: names may have dots, and lists do not count."""
    path = tuple("abcdefghij")
    value: Any = {"a.b.c": [{"d": {"e.f.g.h.i": {"j": "secret", "k": 1}}}], "a": {"b": 2}, "a.b.c.d.e.f.g.h.i.j": "secret"}
    assert sorted(found(value, [path])) == ["[a.b.c.d.e.f.g.h.i.j]", "[a.b.c][0].d[e.f.g.h.i].j"]
    remove(value, [path])
    assert value == {"a.b.c": [{"d": {"e.f.g.h.i": {"k": 1}}}], "a": {"b": 2}}
