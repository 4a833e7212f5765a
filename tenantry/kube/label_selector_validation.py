"""Validates metav1.LabelSelector values (k8s.io/apimachinery/pkg/apis/meta/v1/validation)."""

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
        errors += _requirement_errors(requirement, f"{path}.matchExpressions[{index}]")
    return errors


def _requirement_errors(requirement: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key") or ""
    errors += [invalid(f"{path}.key", key, text) for text in qualified_name_errors(key)]
    for index, value in while_few(errors, enumerate(values)):
        errors += [invalid(f"{path}.values[{index}]", value, text) for text in label_value_errors(value)]
    return errors
