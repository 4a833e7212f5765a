"""What the users of a view are told where admission or validation refuses what they write, or warns of it.

Both look at the whole object, and their texts may quote it. A text stays if it is about a shown field, or if it is one that the
type's author wrote and that quotes no value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.schema.problem import NO_FIELD
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import FieldError, StatusError, invalid
from tenantry.virtual.declared.hidden.paths import HERE, HiddenPath, Paths, below

_TOKEN = re.compile(r"\[[^\]]*\]|[^.\[\]]+")
_QUOTES = re.compile(r'^[A-Z][a-z]+ value: ([\[{]|"(object|array)": )')
"""Texts that quote an object or a list, and those of rules that fail to run: `no such key: ...`."""
_NOT_TOLD = "is not told, as the text may quote fields that this view does not show"
_HIDDEN = "Invalid value: this view does not show the field, and its value or its absence does not allow the write"
_CAUSE = "FieldValue"


def told(error: StatusError, definition: ResourceDefinition, schema: Schema, paths: Sequence[HiddenPath]) -> StatusError:
    """The error without what it says of hidden fields. `definition` and `schema`: of what is stored."""
    if error.reason == "Invalid":
        return _told_of_fields(error, definition, schema, paths)
    if error.reason == "Forbidden" and definition.group and not definition.identity:
        # Kubernetes' and kcp's own types: admission that knows them quotes rules, claims and references.
        prefix = error.message.partition(" is forbidden: ")[0]
        return StatusError(error.code, error.reason, f"{prefix} is forbidden: why {_NOT_TOLD}", details=error.details)
    return error


def _told_of_fields(
    error: StatusError, definition: ResourceDefinition, schema: Schema, paths: Sequence[HiddenPath]
) -> StatusError:
    computed = list(_computed_texts(schema, paths, ()))
    errors = []
    details = error.details or {}
    for cause in details.get("causes") or ():
        kind, field, text = cause["reason"].removeprefix(_CAUSE), cause.get("field", ""), cause["message"]
        hidden, around = _hidden_root(field, paths)
        if hidden is not None:
            kind, field, text = "Invalid", hidden, _HIDDEN
        elif _may_quote(field, text, around=around, computed=computed):
            text = f"Invalid value: why {_NOT_TOLD}"
        errors.append(FieldError(kind, field, text))
    return invalid(details.get("group", definition.group), definition.kind, details.get("name", ""), errors)


def warnings_told(texts: Sequence[str], definition: ResourceDefinition, schema: Schema, paths: Sequence[HiddenPath]) -> list[str]:
    """The warnings that quote nothing hidden: of metadata, and those of the type's schema, which begin with a field. Others are
    those of Kubernetes' and kcp's own types, which look at any field."""
    if not texts:
        return []
    computed = list(_computed_texts(schema, paths, ()))
    return [text for text in texts if text.startswith("metadata.") or (definition.custom and _is_plain(text, paths, computed))]


def _is_plain(warning: str, paths: Sequence[HiddenPath], computed: Sequence[HiddenPath]) -> bool:
    field, _, text = warning.partition(": ")
    hidden, around = _hidden_root(field, paths)
    return hidden is None and not _may_quote(field, text, around=around, computed=computed)


def _may_quote(field: str, text: str, *, around: bool, computed: Sequence[HiddenPath]) -> bool:
    """Whether a text about a shown field may quote hidden ones. `around`: it has hidden ones. `computed`: see
    `_computed_texts`."""
    return (around and _QUOTES.match(text) is not None) or any(_is_in(field, each) for each in computed)


def _hidden_root(field: str, paths: Sequence[HiddenPath]) -> tuple[str | None, bool]:
    """The place of the hidden field that an error is about, if it is about one or about something in it; and whether it is about
    something that has hidden fields."""
    around = field in ("", NO_FIELD)
    for path in paths:
        end, inner = _follow(field, path)
        if inner:
            return field[:end], around
        around = around or end == len(field)
    return None, around


def _follow(field: str, path: HiddenPath) -> tuple[int, bool]:
    """How far a field goes along a path, and whether it reaches the path's end. A bracket is an item of a list or a name."""
    states: set[HiddenPath] = {path}
    for token in _TOKEN.finditer(field):
        text = token.group()
        bracket = text.startswith("[")
        name = tuple((text[1:-1] if bracket else text).split("."))
        following: set[HiddenPath] = set(states) if bracket else set()
        for state in states:
            shared = min(len(name), len(state))
            if name[:shared] == state[:shared]:
                following.add(state[shared:])
        if HERE in following:
            return token.end(), True
        if not following:
            return token.start(), False
        states = following
    return len(field), False


def _computed_texts(schema: Schema, paths: Paths, at: HiddenPath) -> Iterator[HiddenPath]:
    """The paths of objects with hidden fields whose rules compute their messages, and may name any field in it."""
    if any(rule.message_expression for rule in schema.rules):
        yield at
    if schema.items is not None:
        yield from _computed_texts(schema.items, paths, at)
    if isinstance(schema.additional, Schema) and _computes_texts(schema.additional):
        yield at
    for name, rests in below(schema.properties, paths).items():
        if HERE not in rests:
            yield from _computed_texts(schema.properties[name], rests, (*at, *name.split(".")))


def _computes_texts(schema: Schema) -> bool:
    inner = [*schema.properties.values(), schema.items, schema.additional]
    return any(rule.message_expression for rule in schema.rules) or any(
        _computes_texts(each) for each in inner if isinstance(each, Schema)
    )


def _is_in(field: str, at: HiddenPath) -> bool:
    """Whether a field is at a path or in it. A path stands for all items of a list, and for all entries of a map."""
    return not at or field in ("", NO_FIELD) or _follow(field, at)[1]
