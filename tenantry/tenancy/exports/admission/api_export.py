"""Admission `apis.kcp.io/APIExport`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.kube.selectors import labels as selectors
from tenantry.tenancy.admission.admission_errors import is_main_write, refuse
from tenantry.tenancy.exports.admission.stored_form import stored_form
from tenantry.tenancy.exports.claimable import needs_identity


class ApiExportAdmission(Plugin):
    """Checks that claims have an identity hash where they need one, and that names of schemas match the exported resources."""

    def validate(self, review: Review) -> None:
        if not is_main_write(review) or review.object is None:
            return
        spec = stored_form(review, review.object).get("spec") or {}
        problems = [*claim_problems(spec.get("permissionClaims") or ()), *_schema_problems(spec.get("resources") or ())]
        if problems:
            raise refuse(review, *problems)


def claim_problems(claims: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Messages about claims (v1alpha2) without a needed identity hash, or with an invalid selector."""
    for index, claim in enumerate(claims):
        for name in ("selector", "defaultSelector"):
            try:
                selectors.from_object(claim.get(name) or {})
            except ValueError as error:
                yield f"spec.permissionClaims[{index}].{name}: Invalid value: {error}"
        if not claim.get("identityHash") and needs_identity(claim.get("group") or "", claim.get("resource") or ""):
            field = f"spec.permissionClaims[{index}].identityHash"
            yield f'{field}: Invalid value: "": identityHash is required for API types that are not built-in'


def _schema_problems(resources: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for index, resource in enumerate(resources):
        schema = resource.get("schema") or ""
        ending = f".{resource.get('name')}.{resource.get('group') or 'core'}"
        if not schema.endswith(ending) or schema == ending:
            yield f'spec.resources[{index}].schema: Invalid value: "{schema}": must end in "{ending}"'
