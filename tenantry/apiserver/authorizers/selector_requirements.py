"""The selectors of a request in the questions to authorizers (KEP-4601): texts there, requirements in a SubjectAccessReview.

A requirement that cannot be read, or has no form on the other side, is left out: the question is then about more than was asked
for, and never about less.
"""

from __future__ import annotations

from typing import Any

from tenantry.kube.objects import Object
from tenantry.kube.selectors import fields, labels
from tenantry.kube.selectors.fields import FieldRequirement, FieldSelector
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.kube.selectors.requirements import Requirement

CHARACTERS_MAX = 2048
"""A longer selector is left out: it takes too long to be read for each decision."""
_LABEL_OPERATORS = {
    "=": "In",
    "==": "In",
    "in": "In",
    "!=": "NotIn",
    "notin": "NotIn",
    "exists": "Exists",
    "!": "DoesNotExist",
}
_LABEL_TEXTS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def field_requirements(text: str) -> list[Object]:
    """The FieldSelectorRequirements of a `fieldSelector`."""
    if not text or len(text) > CHARACTERS_MAX:
        return []
    try:
        selector = fields.parse(text)
    except ValueError:
        return []
    return [
        {"key": each.field, "operator": "NotIn" if each.negated else "In", "values": [each.value]}
        for each in selector.requirements
    ]


def label_requirements(text: str) -> list[Object]:
    """The LabelSelectorRequirements of a `labelSelector`."""
    if not text or len(text) > CHARACTERS_MAX:
        return []
    try:
        selector = labels.parse(text)
    except ValueError:
        return []
    return [
        {"key": each.key, "operator": operator, **({"values": list(each.values)} if each.values else {})}
        for each in selector.requirements
        if (operator := _LABEL_OPERATORS.get(each.operator)) is not None
    ]


def field_text(attributes: Any) -> str:
    """The text of a review's `fieldSelector`."""
    if not attributes:
        return ""
    found = []
    for each in attributes.get("requirements") or ():
        values: list[str] = each.get("values") or []
        # A field has one value in a selector.
        if each.get("operator") in ("In", "NotIn") and len(values) == 1:
            found.append(FieldRequirement(each.get("key", ""), values[0], each["operator"] == "NotIn"))
    return attributes.get("rawSelector") or str(FieldSelector(tuple(found)))


def label_text(attributes: Any) -> str:
    """The text of a review's `labelSelector`."""
    if not attributes:
        return ""
    found = [
        Requirement(each.get("key", ""), operator, tuple(sorted(set(each.get("values") or ()))))
        for each in attributes.get("requirements") or ()
        if (operator := _LABEL_TEXTS.get(each.get("operator", ""))) is not None
    ]
    return attributes.get("rawSelector") or str(LabelSelector(found))
