"""JSON merge patch (RFC 7386) as kube-apiserver applies it."""

from __future__ import annotations

from typing import Any

from tenantry.kube.patch.json_values import check_depth, copy_of, json_type
from tenantry.kube.status import bad_request


def apply(document: Any, patch: Any) -> Any:
    """The document after the patch. It shares nothing with its inputs.

    Raises StatusError 400 where the patch is not an object.
    """
    if patch is None:
        raise bad_request("Invalid JSON Patch")
    if not isinstance(patch, dict):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {json_type(patch)} into Go value of type map[string]interface {{}}"
        )
    check_depth(patch)
    out = copy_of(document)
    if not isinstance(out, dict):
        return _without_nulls(patch)
    _merge(out, patch)
    return out


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
            continue
        current = target.get(name)
        if isinstance(value, dict) and isinstance(current, dict):
            _merge(current, value)
        elif isinstance(current, dict):
            target[name] = copy_of(value)
        else:
            target[name] = _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    """A copy of a value that replaces something that is not an object. Nulls are removed from objects, also from objects inside
    lists (where the RFC keeps them). Nulls that are list items stay."""
    if isinstance(value, dict):
        return {name: _without_nulls(below) for name, below in value.items() if below is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
