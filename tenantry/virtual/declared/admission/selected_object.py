"""Admission of writes through a declared view: what is written must be visible in it."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import DELETE, Review
from tenantry.kube.objects import labels_of
from tenantry.tenancy.admission.admission_errors import refuse
from tenantry.tenancy.exports.admission.stored_form import stored_form
from tenantry.virtual.declared.declaration import Declaration
from tenantry.virtual.declared.evaluation import Spending, is_true


class SelectedObjectAdmission(Plugin):
    """Refuses (403) objects that the view would not show. `user`: the variable of the filters."""

    def __init__(self, declaration: Declaration, user: dict[str, Any], spending: Spending) -> None:
        self._declaration = declaration
        self._user = user
        self._spending = spending

    def validate(self, review: Review) -> None:
        shown = self._declaration.resources.get(review.definition.group_resource)
        if shown is None or review.object is None or review.operation == DELETE:
            return
        selected = shown.selected
        if not selected.labels.matches(labels_of(review.object)):
            raise refuse(review, "object does not match the labelSelector of the view")
        if selected.filter is None:
            return
        values = (stored_form(review, review.object), {"name": review.cluster}, self._user)
        if not is_true(selected.filter, values, self._spending, "filter"):
            raise refuse(review, "object does not match the filter of the view")
