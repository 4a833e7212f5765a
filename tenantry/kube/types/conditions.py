"""Conditions in the statuses of built-in types (metav1.Condition)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tenantry.kube.field_errors import duplicate, invalid, not_supported, required, too_long, while_few
from tenantry.kube.message_tables import message
from tenantry.kube.names import qualified_name_errors, regex_error
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError

CONDITION = message(
    "io.k8s.apimachinery.pkg.apis.meta.v1.Condition",
    """
    1 type               string                     always required
    2 status             string(v1.ConditionStatus) always required
    3 observedGeneration int64
    4 lastTransitionTime Time                       always required
    5 reason             string                     always required
    6 message            string                     always required
    """,
)
STATUSES = ("False", "True", "Unknown")
_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON_TEXT = regex_error(
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or "
    "'_,:', and must end with an alphanumeric character or '_'",
    _REASON,
    "my_name",
    "MY_NAME",
    "MyName",
    "ReasonA,ReasonB",
    "ReasonA:ReasonB",
)
_IS_REASON = re.compile(_REASON)
_REASON_BYTES_MAX, _MESSAGE_BYTES_MAX = 1024, 32 * 1024


def condition_errors(conditions: Sequence[Object] | None, path: str) -> list[FieldError]:
    """The errors of a list of conditions (apimachinery's ValidateConditions)."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in while_few(errors, enumerate(conditions or ())):
        here, name = f"{path}[{index}]", condition.get("type") or ""
        if name in seen:
            errors.append(duplicate(here, name))
        seen.add(name)
        errors += _errors(condition, here, name)
    return errors


def _errors(condition: Object, path: str, name: str) -> Iterable[FieldError]:
    if not name:
        yield required(f"{path}.type", "is required")
    else:
        yield from (invalid(f"{path}.type", name, text) for text in qualified_name_errors(name))
    status = condition.get("status") or ""
    if not status:
        yield required(f"{path}.status")
    elif status not in STATUSES:
        yield not_supported(f"{path}.status", status, STATUSES)
    generation = condition.get("observedGeneration") or 0
    if generation < 0:
        yield invalid(f"{path}.observedGeneration", generation, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield required(f"{path}.lastTransitionTime")
    reason = condition.get("reason") or ""
    if not reason:
        yield required(f"{path}.reason")
    else:
        if _IS_REASON.fullmatch(reason) is None:
            yield invalid(f"{path}.reason", reason, _REASON_TEXT)
        if len(reason.encode()) > _REASON_BYTES_MAX:
            yield too_long(f"{path}.reason", _REASON_BYTES_MAX)
    if len((condition.get("message") or "").encode()) > _MESSAGE_BYTES_MAX:
        yield too_long(f"{path}.message", _MESSAGE_BYTES_MAX)


def is_true(conditions: Sequence[Object] | None, name: str) -> bool:
    """Whether the first condition of this type is true."""
    return next((each.get("status") == "True" for each in conditions or () if each.get("type") == name), False)
