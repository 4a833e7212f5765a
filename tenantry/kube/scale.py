"""The scale subresource of custom resources: the message Scale (autoscaling/v1), and the fields that its paths name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tenantry.kube.definition import ScalePaths
from tenantry.kube.field_errors import invalid
from tenantry.kube.go_text import plain, type_name
from tenantry.kube.message_tables import kind, message
from tenantry.kube.numbers import is_canonical
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError

_REF = "io.k8s.api.autoscaling.v1."
_INT32_MAX = (1 << 31) - 1
SCALE_KIND = ("autoscaling", "v1", "Scale")
"""Group, version and kind of the objects of the subresource, whatever the type that it is of."""
SCALE = kind(
    _REF + "Scale",
    """
    2 spec   ScaleSpec
    3 status ScaleStatus
    """,
    # Go has no pointer here. One shows whether the replicas were sent, so that who scales to zero owns them.
    message(_REF + "ScaleSpec", "1 replicas *int32"),
    message(
        _REF + "ScaleStatus",
        """
        1 replicas int32  always
        2 selector string
        """,
    ),
)


def scale_errors(obj: Object, paths: ScalePaths, *, status_only: bool) -> Iterator[FieldError]:
    """The errors of an object whose type has a scale: replicas that are no int32, or negative, and a selector that is no text
    (apiextensions-apiserver's ValidateScaleSpec and ValidateScaleStatus)."""
    if not status_only:
        yield from _replicas_errors(obj, paths.spec_replicas)
    yield from _replicas_errors(obj, paths.status_replicas)
    if paths.label_selector:
        try:
            text_at(obj, paths.label_selector)
        except ValueError as error:
            yield invalid(paths.label_selector, "", str(error))


def _replicas_errors(obj: Object, path: str) -> Iterator[FieldError]:
    try:
        replicas = integer_at(obj, path) or 0
    except ValueError as error:
        yield invalid(path, 0, str(error))
        return
    if replicas < 0:
        yield invalid(path, replicas, "should be a non-negative integer")
    elif replicas > _INT32_MAX:
        yield invalid(path, replicas, f"should be less than or equal to {_INT32_MAX}")


def integer_at(obj: Object, path: str) -> int | None:
    """The integer at a path (`.spec.replicas`), None where there is none. Raises ValueError with Go's text for another value."""
    value, found = _nested(obj, path)
    if not found:
        return None
    if type(value) is not int or not is_canonical(value):
        raise ValueError(_text(path, value, "int64"))
    return value


def text_at(obj: Object, path: str) -> str:
    """The text at a path, empty where there is none. Raises ValueError, with Go's text, for another value."""
    value, found = _nested(obj, path)
    if not found:
        return ""
    if type(value) is not str:
        raise ValueError(_text(path, value, "string"))
    return value


def _nested(obj: Object, path: str) -> tuple[Any, bool]:
    names = path.removeprefix(".").split(".")
    value: Any = obj
    for index, name in enumerate(names):
        if value is None:
            return None, False
        if type(value) is not dict:
            raise ValueError(_text("." + ".".join(names[: index + 1]), value, "map[string]interface {}"))
        if name not in value:
            return None, False
        value = value[name]
    return value, True


def _text(path: str, value: Any, wanted: str) -> str:
    if type(value) is int and not is_canonical(value):
        value = float(value)
    return f"{path} accessor error: {plain(value)} is of the type {type_name(value)}, expected {wanted}"
