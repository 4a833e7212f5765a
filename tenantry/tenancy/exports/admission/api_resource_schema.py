"""Admission `tenancy.kcp.io/APIResourceSchema`: a schema is validated as a CRD would be, and never changes."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import UPDATE, Review
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse


class ApiResourceSchemaAdmission(Plugin):
    """Answers 403, also where a CRD would be answered with 422 (kcp)."""

    def validate(self, review: Review) -> None:
        if not is_main_write(review) or review.object is None:
            return
        if review.operation == UPDATE:
            if review.old_object is not None and review.object.get("spec") != review.old_object.get("spec"):
                raise refuse(review, "spec: Invalid value: is immutable")
            return
        spec = review.object.get("spec") or {}
        problems = [error.message for error in review.findings]
        if len(spec.get("versions") or ()) > 1 and not spec.get("conversion"):
            problems.append("spec.conversion: Required value: required when there is more than one version")
        if problems:
            raise refuse(review, *problems)
