"""Validation of APIResourceSchemas (apis.kcp.io): the rules of CustomResourceDefinitions, and kcp's own for names and groups."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenantry.kube.crd_names_validation import names_errors
from tenantry.kube.crd_validation import (
    APPROVED,
    STORAGE_RULE,
    client_errors,
    column_errors,
    is_protected,
    selectable_errors,
    subresource_errors,
)
from tenantry.kube.field_errors import duplicate, forbidden, invalid, not_supported, required
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.objects import Object, annotations_of
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.structure import schema_errors
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import FieldError
from tenantry.kube.types.custom_resource_definition import JSON_SCHEMA_PROPS

_VERSION_NAME = re.compile(r"v[1-9][0-9]*([a-z]+[1-9][0-9]*)?")
_PREFIX = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_OLD_GROUPS = frozenset(("apps", "batch", "extensions", "policy", "autoscaling"))


def validate_api_resource_schema(obj: Object) -> list[FieldError]:
    """The errors of an APIResourceSchema (apis.kcp.io/v1alpha1). kcp refuses such an object with 403."""
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    errors = list(_schema_name(obj, spec, names))
    group = spec.get("group") or ""
    if group == "core":
        errors.append(invalid("spec.group", group, "core group is '', not 'core'"))
    elif group and "." not in group and group not in _OLD_GROUPS:
        errors.append(invalid("spec.group", group, "must be a domain with at least one dot"))
    elif group and dns1123_subdomain_errors(group):
        errors.append(invalid("spec.group", group, ",".join(dns1123_subdomain_errors(group))))
    if is_protected(group) and not annotations_of(obj).get(APPROVED):
        errors.append(required(f"metadata.annotations[{APPROVED}]", "protected groups must have approval annotation"))
    errors += names_errors(names)
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        errors.append(not_supported("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced")))
    naming = spec.get("nameValidation")
    if naming and naming not in ("DNS1123Subdomain", "PathSegmentName"):
        errors.append(not_supported("spec.nameValidation", naming, ("DNS1123Subdomain", "PathSegmentName")))
    errors += _schema_versions(spec)
    return errors


def _schema_name(obj: Object, spec: Object, names: Object) -> Iterator[FieldError]:
    name = obj.get("metadata", {}).get("name", "")
    suffix = f".{names.get('plural') or ''}.{spec.get('group') or 'core'}"
    if not name.endswith(suffix):
        text = f'must end in .<spec.names.plural>.<spec.group or "core">: {suffix}'
        yield invalid("metadata.name", name, text)
    elif not _PREFIX.fullmatch(name.removesuffix(suffix)):
        yield invalid("metadata.name", name, f"must have a prefix matching {_PREFIX.pattern}")


def _schema_versions(spec: Object) -> Iterator[FieldError]:
    versions: list[Object] = spec.get("versions") or []
    if not versions:
        yield required("spec.versions")
    stored = [v for v in versions if v.get("storage")]
    if versions and len(stored) != 1:
        yield invalid("spec.versions", [v.get("name") for v in versions], STORAGE_RULE)
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        if not _VERSION_NAME.fullmatch(name):
            yield invalid(f"{path}.name", name, f"must match {_VERSION_NAME.pattern}")
        document = version.get("schema")
        if not isinstance(document, dict) or not document:
            yield required(f"{path}.schema")
        else:
            wrong = validate(document, JSON_SCHEMA_PROPS, path=f"{path}.schema")
            if wrong:
                # All later checks assume that the document has the right shape.
                yield from wrong
                continue
            yield from schema_errors(document, f"{path}.schema")
            fields = version.get("selectableFields")
            if fields:
                yield from selectable_errors(fields, from_openapi(document), f"{path}.selectableFields")
        yield from subresource_errors(version.get("subresources") or {}, f"{path}.subresources")
        yield from column_errors(version.get("additionalPrinterColumns") or [], f"{path}.additionalPrinterColumns")
    conversion = spec.get("conversion")
    if len(versions) > 1 and conversion is None:
        yield required("spec.conversion", "must be set when there is more than one version")
    if conversion is not None:
        strategy = conversion.get("strategy") or ""
        if strategy not in ("None", "Webhook"):
            yield not_supported("spec.conversion.strategy", strategy, ("None", "Webhook"))
        elif strategy == "Webhook":
            client = (conversion.get("webhook") or {}).get("clientConfig") or {}
            if client.get("service") is not None:
                yield forbidden("spec.conversion.webhook.clientConfig.service", "services are not supported")
            yield from client_errors(client, "spec.conversion.webhook.clientConfig")
