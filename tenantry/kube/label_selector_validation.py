"""Validates metav1.LabelSelector values, and requirements of access reviews (k8s.io/apimachinery/pkg/apis/meta/v1/validation)."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.field_errors import forbidden, invalid, required, while_few
from tenantry.kube.names import label_value_errors, qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError


def label_errors(labels: Mapping[str, str], path: str) -> list[FieldError]:
    """The errors of the keys and values of labels."""
    errors: list[FieldError] = []
    for key, value in while_few(errors, labels.items()):
        errors += [invalid(path, key, text) for text in qualified_name_errors(key)]
        errors += [invalid(path, value, text) for text in label_value_errors(value)]
    return errors


def label_selector_errors(selector: Object, path: str) -> list[FieldError]:
    """The errors of a label selector in an object."""
    errors = label_errors(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, requirement in while_few(errors, enumerate(selector.get("matchExpressions") or ())):
        errors += requirement_errors(requirement, f"{path}.matchExpressions[{index}]")
    return errors


def requirement_errors(requirement: Object, path: str, *, any_operator: bool = False) -> list[FieldError]:
    """The errors of one requirement. `any_operator`: an operator that is not known is no error."""
    errors = _operator_errors(requirement, path, any_operator=any_operator)
    key, values = requirement.get("key") or "", requirement.get("values") or []
    errors += [invalid(f"{path}.key", key, text) for text in qualified_name_errors(key)]
    for index, value in while_few(errors, enumerate(values)):
        errors += [invalid(f"{path}.values[{index}]", value, text) for text in label_value_errors(value)]
    return errors


def field_requirement_errors(requirement: Object, path: str) -> list[FieldError]:
    """The errors of one requirement for a field, whose operator may be one that is not known."""
    errors = [] if requirement.get("key") else [required(f"{path}.key", "must be specified")]
    return errors + _operator_errors(requirement, path, any_operator=True)


def _operator_errors(requirement: Object, path: str, *, any_operator: bool) -> list[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        return [] if values else [required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")]
    if operator in ("Exists", "DoesNotExist"):
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [forbidden(f"{path}.values", text)] if values else []
    return [] if any_operator else [invalid(f"{path}.operator", operator, "not a valid selector operator")]
