"""Validation failures in the words of Go's field.Error (k8s.io/apimachinery/pkg/util/validation/field)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tenantry.kube.status import FieldError

IMMUTABLE = "field is immutable"


def show(value: Any) -> str:
    """A value as upstream prints it in a message: strings quoted, lists and objects as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError("Invalid", path, f"Invalid value: {show(value)}: {detail}")


def required(path: str, detail: str = "") -> FieldError:
    return FieldError("Required", path, f"Required value: {detail}" if detail else "Required value")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError("Forbidden", path, f"Forbidden: {detail}")


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError("Duplicate", path, f"Duplicate value: {show(value)}")


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """`supported` are the values that would do, in the order of the message."""
    known = ", ".join(show(s) for s in supported)
    return FieldError("NotSupported", path, f"Unsupported value: {show(value)}: supported values: {known}")


def too_long(path: str, limit_bytes: int) -> FieldError:
    return FieldError("TooLong", path, f"Too long: may not be more than {limit_bytes} bytes")
