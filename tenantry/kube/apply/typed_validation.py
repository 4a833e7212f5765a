"""Checks that an applied configuration matches its type, with structured-merge-diff's texts."""

from __future__ import annotations

from typing import Any, NamedTuple

from tenantry.kube import go_text
from tenantry.kube.apply import field_set
from tenantry.kube.apply.typed import ListType, MapType, Node, TypedError
from tenantry.kube.field_errors import VALUE_CHARACTERS
from tenantry.kube.status import CAUSES_MAX, cut


def validate(node: Node, value: Any, *, repeats: bool = False, all_unknown: bool = True) -> list[str]:
    """The errors of a value, each with its path. Repeated list items are errors, except with `repeats`. Without `all_unknown`
    nothing is told of an object beyond its first field that the schema does not have, as upstream does; there, which field is
    the first one of a body is by chance."""
    errors: list[str] = []
    _validate(node, value, None, _Report(errors, repeats, all_unknown))
    return errors


class _Report(NamedTuple):
    errors: list[str]
    repeats: bool
    all_unknown: bool

    def add(self, path: _Path, text: str) -> None:
        if len(self.errors) < CAUSES_MAX:
            shown, text = _text(path), cut(text, VALUE_CHARACTERS)
            self.errors.append(f"{shown}: {text}" if shown else text)


def error_text(errors: list[str]) -> str:
    """Several errors in one text, as upstream joins them."""
    return errors[0] if len(errors) == 1 else "\n".join(["errors:", *(f"  {error}" for error in errors)])


_Path = tuple[Any, str] | None
"""A place as linked steps: (the place above, `.name`, `[0]` or the path element of an item). It becomes text only in an error."""


def _text(path: _Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step)
    text = ""
    for step in reversed(steps):
        text += cut(step, VALUE_CHARACTERS) if step[0] in ".[" else field_set.display((step,))
        if len(text) > VALUE_CHARACTERS:
            break
    return cut(text, VALUE_CHARACTERS)


def _validate(node: Node, value: Any, path: _Path, report: _Report) -> None:
    if value is None:
        return
    match node.kind(value):
        case "map":
            assert node.map is not None
            if not isinstance(value, dict):
                report.add(path, f"expected map, got {_pointer(value)}")
            else:
                _validate_fields(node.map, value, path, report)
        case "list":
            assert node.list is not None
            if not isinstance(value, list):
                report.add(path, f"expected list, got {_pointer(value)}")
            else:
                _validate_items(node.list, value, path, report)
        case _:
            text = _scalar_error(node.scalar, value)
            if text:
                report.add(path, text)


def _pointer(value: Any) -> str:
    return f"&{{{cut(go_text.plain(value), VALUE_CHARACTERS)}}}"


def _scalar_error(scalar: str, value: Any) -> str:
    match scalar:
        case "numeric" if isinstance(value, bool) or not isinstance(value, int | float):
            return f"expected numeric (int or float), got {go_text.type_name(value)}"
        case "string" if not isinstance(value, str):
            return f"expected string, got &value.valueUnstructured{{Value:{cut(go_text.syntax(value), VALUE_CHARACTERS)}}}"
        case "boolean" if not isinstance(value, bool):
            return f"expected boolean, got {_pointer(value)}"
        case "untyped" if isinstance(value, dict | list | go_text.GoValue):
            return f"expected any scalar, got {_pointer(value)}"
    return ""


def _validate_fields(map_type: MapType, value: dict[str, Any], path: _Path, report: _Report) -> None:
    for name, below in value.items():
        node = map_type.at(name)
        if node is None:
            report.add((path, f".{name}"), "field not declared in schema")
            if report.all_unknown:
                continue
            return
        _validate(node, below, (path, f".{name}"), report)


def _validate_items(list_type: ListType, value: list[Any], path: _Path, report: _Report) -> None:
    seen: set[str] = set()
    for index, item in enumerate(value):
        if list_type.kind == "atomic" or (list_type.kind == "set" and isinstance(item, go_text.GoValue)):
            _validate(list_type.element, item, (path, f"[{index}]"), report)
            continue
        try:
            element = list_type.item_element(item)
        except TypedError as error:
            report.add(path, f"element {index}: {error}")
            return
        if element in seen and not report.repeats:
            report.add(path, f"duplicate entries for key {field_set.display((element,))}")
        seen.add(element)
        _validate(list_type.element, item, (path, element), report)
