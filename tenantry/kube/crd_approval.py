"""Whether a definition in one of Kubernetes' own groups was approved (apiextensions-apiserver's API approval policy)."""

from __future__ import annotations

from datetime import datetime

from tenantry.kube.crd_naming import condition
from tenantry.kube.crd_validation import APPROVED, is_protected
from tenantry.kube.objects import Object, annotations_of, timestamp
from tenantry.kube.schema import ip_and_url

CONFORMANT = "KubernetesAPIApprovalPolicyConformant"
_REFERENCE = "see https://github.com/kubernetes/enhancements/pull/1111"


def approval_condition(crd: Object, now: datetime | None = None) -> Object | None:
    """The condition that a definition should have. None where its group needs no approval. `lastTransitionTime` stays the same as
    long as the status does."""
    if not is_protected(crd["spec"].get("group") or ""):
        return None
    status, reason, message = _verdict(annotations_of(crd).get(APPROVED) or "")
    before = condition(crd, CONFORMANT)
    since = before.get("lastTransitionTime") if before is not None and before.get("status") == status else None
    return {
        "type": CONFORMANT,
        "status": status,
        "lastTransitionTime": since or timestamp(now),
        "reason": reason,
        "message": message,
    }


def _verdict(annotation: str) -> tuple[str, str, str]:
    """(status, reason, message) of the condition."""
    if not annotation:
        return "False", "MissingAnnotation", f'protected groups must have approval annotation "{APPROVED}", {_REFERENCE}'
    if annotation.startswith("unapproved"):
        return "False", "UnapprovedAnnotation", f'not approved: "{annotation}"'
    if _is_url(annotation):
        return "True", "ApprovedAnnotation", f"approved in {annotation}"
    either = 'with either a URL or a reason starting with "unapproved"'
    return "False", "InvalidAnnotation", f'protected groups must have approval annotation "{APPROVED}" {either}, {_REFERENCE}'


def _is_url(text: str) -> bool:
    try:
        parts = ip_and_url.url(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.host)
