"""The names that finalizers may have (k8s.io/kubernetes core validation, on top of the syntax of every finalizer)."""

from __future__ import annotations

from tenantry.kube.field_errors import invalid
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.status import FieldError

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
STANDARD = frozenset({"kubernetes", ORPHAN, FOREGROUND})


def finalizer_errors(path: str, finalizer: str) -> list[FieldError]:
    """The errors of a finalizer of a built-in object: it has to be `domain/name` or a standard finalizer."""
    return [invalid(path, finalizer, text) for text in qualified_name_errors(finalizer)] + unqualified_errors(path, finalizer)


def unqualified_errors(path: str, finalizer: str) -> list[FieldError]:
    """The check for a domain, which does not apply to custom resources."""
    if "/" in finalizer or finalizer in STANDARD:
        return []
    return [invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")]
