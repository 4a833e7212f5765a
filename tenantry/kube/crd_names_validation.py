"""Validates the names of a custom type: those that a definition asks for, and those in its status."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.kube.field_errors import invalid, required
from tenantry.kube.names import dns1035_label_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError


def names_errors(names: Object, path: str = "spec.names", *, complete: bool = True) -> Iterator[FieldError]:
    """The errors of names at a path. `complete`: plural, singular, kind and listKind must be there."""
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field) or ""
        place = f"{path}.{field}"
        if not value:
            if complete:
                yield required(place)
            continue
        mixed = field in ("kind", "listKind")
        wrong = dns1035_label_errors(value.lower() if mixed else value)
        if wrong:
            text = ",".join(wrong)
            yield invalid(place, value, f"may have mixed case, but should otherwise match: {text}" if mixed else text)
    for field in ("shortNames", "categories"):
        for index, value in enumerate(names.get(field) or ()):
            wrong = dns1035_label_errors(value)
            if wrong:
                yield invalid(f"{path}.{field}[{index}]", value, ",".join(wrong))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same")
