"""The selection of a request: its selectors are parsed and checked, and its scope says what the caller may see."""

from __future__ import annotations

from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.selection import ALWAYS_SELECTABLE, Match, Selection
from tenantry.apiserver.worker_threads import run_weighed
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.selectors import fields, labels
from tenantry.kube.status import bad_request


async def selection(call: Call, label_selector: str, field_selector: str) -> Selection:
    """The selection of a request. Raises StatusError 400 for selectors that cannot be parsed or that the type does not have."""
    definition, tenant = call.definition, call.scope.cluster or ""
    try:
        # Parsing takes a few microseconds for every two characters, and a URL may be long.
        by_label = await run_weighed(tenant, len(label_selector), lambda: labels.parse(label_selector))
        by_field = await run_weighed(tenant, len(field_selector), lambda: fields.parse(field_selector))
    except ValueError as error:
        raise bad_request(str(error)) from None
    visibility = call.scope.visibility(definition, call.user, call.verb)
    if not by_field.is_everything:
        selectable = call.shape.selectable
        for requirement in by_field.requirements:
            if requirement.field not in ALWAYS_SELECTABLE and requirement.field not in selectable:
                raise bad_request(_unknown_field(definition, requirement.field, bool(selectable)))
    return Selection(
        definition,
        call.version,
        by_label,
        by_field,
        visibility,
        by_field.required_value("metadata.name") if field_selector else None,
    )


def visible_to(call: Call) -> Match | None:
    """A function that says whether a record of the type is visible to the caller. None where all are."""
    visibility = call.scope.visibility(call.definition, call.user, call.verb)
    return None if visibility is None else visibility.sees


def _unknown_field(definition: ResourceDefinition, field: str, has_own: bool) -> str:
    if definition.custom or has_own:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
