"""Steps that strategies of built-in types share."""

from __future__ import annotations

from tenantry.kube.objects import Object


def keep(obj: Object, old: Object, *fields: str) -> None:
    """Restores the top-level `fields` of `obj` to their values in `old`, because this endpoint may not change them."""
    for field in fields:
        if field in old:
            obj[field] = old[field]
        else:
            obj.pop(field, None)
