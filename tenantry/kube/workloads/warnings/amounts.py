"""Amounts of bytes that are no whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING

from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.quantity import canonical, parse

_INT64_MAX = (1 << 63) - 1


def fraction_warnings(path: str, amounts: Object | None, name: str) -> Iterator[str]:
    """`amounts`: quantities by the name of a resource, valid ones. `path`: where they are."""
    text = (amounts or {}).get(name)
    if text is None:
        return
    thousandths = int((parse(text) * 1000).to_integral_value(ROUND_CEILING))
    # Upstream counts in 64 bits, so that the largest amounts seem to have a fraction.
    if min(thousandths, _INT64_MAX) % 1000:
        yield f"{path}[{name}]: fractional byte value {quote(canonical(text))} is invalid, must be an integer"


def claim_warnings(path: str, spec: Object) -> Iterator[str]:
    """`spec`: of a PersistentVolumeClaim."""
    resources = spec.get("resources") or {}
    yield from fraction_warnings(f"{path}.resources.requests", resources.get("requests"), "storage")
    yield from fraction_warnings(f"{path}.resources.limits", resources.get("limits"), "storage")
