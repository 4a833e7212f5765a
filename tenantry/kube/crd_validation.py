"""Validates CustomResourceDefinitions as kube-apiserver does.

Upstream validates an internal form, where parts that all versions have in common (schema, subresources, columns, selectable
fields) are at the top of the spec. The field paths in errors are those of that form, and clients see them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tenantry.kube.crd_names_validation import names_errors
from tenantry.kube.crd_naming import ESTABLISHED, is_condition_true
from tenantry.kube.field_errors import IMMUTABLE, duplicate, forbidden, invalid, not_supported, required
from tenantry.kube.jsonpath import field_names
from tenantry.kube.names import dns1035_label_errors, dns1123_subdomain_errors
from tenantry.kube.objects import Object, annotations_of, is_deleting
from tenantry.kube.schema import formats, ip_and_url
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.ratchet import child_schema
from tenantry.kube.schema.structural import Schema
from tenantry.kube.schema.structure import children, schema_errors
from tenantry.kube.status import FieldError

APPROVED = "api-approved.kubernetes.io"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SIMPLE_PATH = re.compile(r"\.[a-zA-Z0-9\[\]\.\-_/\\'\"@?()=*: ]*")
_MAX_SELECTABLE = 8
_NO_SET = "is not supported by server-side apply or CEL validation rules"
_MAX_DEPRECATION_CHARACTERS = 256
STORAGE_RULE = "must have exactly one version marked as storage version"


def validate_crd(crd: Object, old: Object | None) -> list[FieldError]:
    """The errors of a CustomResourceDefinition with its defaults filled in. `old` is the definition before an update."""
    spec = crd.get("spec") or {}
    if old is not None and (is_deleting(crd) or spec == old.get("spec")):
        # A definition that was accepted before may be deleted and keep its status, also if it breaks today's rules.
        return list(_stored_versions(crd, spec))
    errors = list(_name(crd, spec)) if old is None else []
    errors += _identity(crd, spec, old)
    errors += names_errors(spec.get("names") or {})
    errors += _versions(spec, "spec")
    errors += _conversion(spec.get("conversion") or {})
    errors += _stored_versions(crd, spec)
    if old is not None:
        errors += _immutable(spec, old)
    return errors


def validate_crd_status(crd: Object) -> list[FieldError]:
    """The errors of a status that is written through the status subresource."""
    return list(names_errors((crd.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames", complete=False))


def crd_warnings(crd: Object, old: Object | None) -> list[str]:
    """Warnings for the writer: formats that are not checked, and sets of objects or lists. An update is warned of what it
    adds."""
    if old is not None and old.get("spec") == crd.get("spec"):
        return []
    known = _warnings(old) if old is not None else {}
    return [text for text in _warnings(crd) if text not in known]


def _warnings(crd: Object) -> dict[str, None]:
    """The texts, in order."""
    unknown: set[str] = set()
    sets: set[str] = set()
    for version in (crd.get("spec") or {}).get("versions") or ():
        document = (version.get("schema") or {}).get("openAPIV3Schema")
        if isinstance(document, dict):
            _look(document, unknown, sets)
    texts = [f'unrecognized format "{name}"' for name in sorted(unknown)]
    texts += [f'x-kubernetes-list-type: set for items of type "{kind}" {_NO_SET}' for kind in sorted(sets)]
    return dict.fromkeys(texts)


def _look(document: Object, unknown: set[str], sets: set[str]) -> None:
    name, items = document.get("format"), document.get("items")
    if name and not formats.is_known(name, document.get("type") or ""):
        unknown.add(name)
    if document.get("x-kubernetes-list-type") == "set" and isinstance(items, dict) and items.get("type") in ("object", "array"):
        sets.add(items["type"])
    for child, _, _ in children(document, ""):
        _look(child, unknown, sets)


# Names and identity ----------------------------------------------------------------------------------------------------


def _name(crd: Object, spec: Object) -> Iterator[FieldError]:
    name = crd.get("metadata", {}).get("name", "")
    plural = (spec.get("names") or {}).get("plural") or ""
    # One that is missing is refused with the metadata.
    if name and name != f"{plural}.{spec.get('group') or ''}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _identity(crd: Object, spec: Object, old: Object | None) -> Iterator[FieldError]:
    group = spec.get("group") or ""
    if not group:
        yield required("spec.group")
    else:
        wrong = dns1123_subdomain_errors(group)
        if wrong:
            yield invalid("spec.group", group, ",".join(wrong))
        elif "." not in group:
            yield invalid("spec.group", group, "should be a domain with at least one dot")
    if is_protected(group) and old is None and not annotations_of(crd).get(APPROVED):
        place = f"metadata.annotations[{APPROVED}]"
        reference = "https://github.com/kubernetes/enhancements/pull/1111"
        yield required(place, f'protected groups must have approval annotation "{APPROVED}", see {reference}')
    scope = spec.get("scope") or ""
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields"):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid("spec.preserveUnknownFields", True, text)


def is_protected(group: str) -> bool:
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def _immutable(spec: Object, old: Object) -> Iterator[FieldError]:
    before = old.get("spec") or {}
    names, names_before = spec.get("names") or {}, before.get("names") or {}
    if spec.get("group") != before.get("group"):
        yield invalid("spec.group", spec.get("group"), IMMUTABLE)
    if names.get("plural") != names_before.get("plural"):
        yield invalid("spec.names.plural", names.get("plural"), IMMUTABLE)
    if is_condition_true(old, ESTABLISHED):
        if spec.get("scope") != before.get("scope"):
            yield invalid("spec.scope", spec.get("scope"), IMMUTABLE)
        if names.get("kind") != names_before.get("kind"):
            yield invalid("spec.names.kind", names.get("kind"), IMMUTABLE)


# Versions --------------------------------------------------------------------------------------------------------------


def _versions(spec: Object, path: str) -> Iterator[FieldError]:
    versions: list[Object] = spec.get("versions") or []
    stored = [v for v in versions if v.get("storage")]
    seen = [v.get("name") for v in versions]
    if len(set(seen)) != len(seen):
        yield invalid(f"{path}.versions", _internal(versions), "must contain unique version names")
    if len(stored) != 1:
        yield invalid(f"{path}.versions", _internal(versions) if "versions" in spec else None, STORAGE_RULE)
    for index, version in enumerate(versions):
        yield from _version(version, f"{path}.versions[{index}]")
    if versions:
        wrong = dns1035_label_errors(versions[0].get("name") or "")
        if wrong:
            yield invalid(f"{path}.version", versions[0].get("name") or "", ",".join(wrong))
    yield from _hoisted(versions, path, "schema", "validation", _schema_at)
    yield from _hoisted(versions, path, "subresources", "subresources", subresource_errors)
    yield from _hoisted(versions, path, "additionalPrinterColumns", "additionalPrinterColumns", column_errors)
    yield from _selectable_fields(versions, path)


def _internal(versions: list[Object]) -> list[Object]:
    """Versions as Go prints upstream's internal type."""
    return [
        {
            "Name": v.get("name") or "",
            "Served": bool(v.get("served")),
            "Storage": bool(v.get("storage")),
            "Deprecated": bool(v.get("deprecated")),
            "DeprecationWarning": v.get("deprecationWarning"),
            "Schema": None,
            "Subresources": None,
            "AdditionalPrinterColumns": None,
            "SelectableFields": None,
        }
        for v in versions
    ]


def _version(version: Object, path: str) -> Iterator[FieldError]:
    name = version.get("name") or ""
    wrong = dns1035_label_errors(name)
    if wrong:
        yield invalid(f"{path}.name", name, ",".join(wrong))
    if _document_of(version) is None:
        yield required(f"{path}.schema.openAPIV3Schema")
    warning = version.get("deprecationWarning")
    if warning is not None:
        place = f"{path}.deprecationWarning"
        if not version.get("deprecated"):
            yield invalid(place, warning, "can only be set for deprecated versions")
        if len(warning) > _MAX_DEPRECATION_CHARACTERS:
            yield invalid(place, warning, f"must be <= {_MAX_DEPRECATION_CHARACTERS} characters long")
        elif not warning:
            yield invalid(place, warning, "must not be an empty string")


def _document_of(version: Object) -> Any:
    schema = version.get("schema")
    return schema.get("openAPIV3Schema") if isinstance(schema, dict) else None


def _hoisted(versions: list[Object], path: str, field: str, top: str, check: Any) -> Iterator[FieldError]:
    """Checks a part of the versions. Where all versions have it alike, it is checked once, at the top of the spec."""
    values = [v.get(field) for v in versions]
    if not any(values):
        return
    if all(value == values[0] for value in values):
        yield from check(values[0], f"{path}.{top}")
        return
    for index, value in enumerate(values):
        if value:
            yield from check(value, f"{path}.versions[{index}].{field}")


def _schema_at(schema: Object, path: str) -> Iterator[FieldError]:
    document = schema.get("openAPIV3Schema")
    if document is not None:
        yield from schema_errors(document, f"{path}.openAPIV3Schema")


def subresource_errors(subresources: Object, path: str) -> Iterator[FieldError]:
    scale = subresources.get("scale")
    if scale is None:
        return
    for field, below in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status"), ("labelSelectorPath", "")):
        value = scale.get(field) or ""
        place = f"{path}.scale.{field}"
        if not value:
            if below:
                yield required(place)
        elif not _SIMPLE_PATH.fullmatch(value):
            yield invalid(place, value, "must be a simple json path starting with .")
        elif below and not value.startswith(f"{below}."):
            yield invalid(place, value, f"should be a json path under {below}")
        elif not below and not value.startswith((".spec.", ".status.")):
            yield invalid(place, value, "should be a json path under either .spec or .status")


def column_errors(columns: list[Object], path: str) -> Iterator[FieldError]:
    for index, column in enumerate(columns):
        place = f"{path}[{index}]"
        if not column.get("name"):
            yield required(f"{place}.name")
        kind, text_format = column.get("type") or "", column.get("format") or ""
        known = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not kind:
            yield required(f"{place}.type", known)
        elif kind not in _COLUMN_TYPES:
            yield invalid(f"{place}.type", kind, known)
        if text_format and text_format not in _COLUMN_FORMATS:
            yield invalid(f"{place}.format", text_format, f"must be one of {','.join(_COLUMN_FORMATS)}")
        path_text = column.get("jsonPath") or ""
        if not path_text:
            yield required(f"{place}.JSONPath")
        elif not path_text.startswith("."):
            yield invalid(f"{place}.JSONPath", path_text, "must be a simple json path starting with .")


def _selectable_fields(versions: list[Object], path: str) -> Iterator[FieldError]:
    values = [v.get("selectableFields") for v in versions]
    if not any(values):
        return
    alike = all(value == values[0] for value in values) and all(v.get("schema") == versions[0].get("schema") for v in versions)
    for index, version in enumerate(versions[:1] if alike else versions):
        fields = version.get("selectableFields")
        document = _document_of(version)
        if fields and isinstance(document, dict):
            place = f"{path}.selectableFields" if alike else f"{path}.versions[{index}].selectableFields"
            yield from selectable_errors(fields, from_openapi(document), place)


def selectable_errors(fields: list[Object], schema: Schema, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, field in enumerate(fields):
        place, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            yield required(place)
            continue
        if not text.startswith((".", "[")):
            yield invalid(place, text, f"is an invalid path: expected [ or . but got: {re.split(r'[.[]', text)[0]}")
            continue
        if text in seen:
            yield duplicate(place, text)
            continue
        seen.add(text)
        try:
            names = field_names(text)
        except ValueError:
            names = ()
        target = _target(schema, names)
        if target is None:
            yield invalid(place, text, "is an invalid path: does not refer to a valid field")
        elif target.type not in ("string", "boolean", "integer"):
            kinds = "must point to a field of type string, boolean or integer. "
            yield invalid(place, text, f"{kinds}Enum string fields and strings with formats are allowed.")
    if len(fields) > _MAX_SELECTABLE and len(seen) == len(fields) and _all_known(fields, schema):
        yield FieldError("TooMany", path, f"Too many: {len(fields)}: must have at most {_MAX_SELECTABLE} items")


def _all_known(fields: list[Object], schema: Schema) -> bool:
    return all(_target(schema, field_names(f["jsonPath"])) is not None for f in fields)


def _target(schema: Schema, names: tuple[str, ...]) -> Schema | None:
    if not names or names[0] == "metadata":
        return None
    node: Schema | None = schema
    for name in names:
        node = child_schema(node, name)
        if node is None:
            return None
    return node


# Conversion and status -------------------------------------------------------------------------------------------------


def _conversion(conversion: Object) -> Iterator[FieldError]:
    strategy = conversion.get("strategy") or ""
    path = "spec.conversion"
    if not strategy:
        yield required(f"{path}.strategy")
        return
    if strategy not in ("None", "Webhook"):
        yield not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))
        return
    webhook = conversion.get("webhook") or {}
    client, review_versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions")
    if strategy == "None":
        for field, value in (("conversionReviewVersions", review_versions), ("webhookClientConfig", client)):
            if value:
                yield forbidden(f"{path}.{field}", "should not be set when strategy is not set to Webhook")
        return
    if not review_versions:
        yield required(f"{path}.conversionReviewVersions")
    elif not set(review_versions) & {"v1", "v1beta1"}:
        text = "must include at least one of v1, v1beta1"
        yield invalid(f"{path}.conversionReviewVersions", review_versions, text)
    if client is None:
        yield required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    else:
        yield from client_errors(client, f"{path}.webhookClientConfig")


def client_errors(client: Object, path: str) -> Iterator[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    if url is None:
        return
    form = "desired format: https://host[/path]"
    try:
        # A text without a scheme is a valid URL (a path), and is then refused because scheme and host are missing.
        parts = ip_and_url.url(url if ":" in url or url.startswith("/") else f"/{url}")
    except ValueError as error:
        yield required(f"{path}.url", f"url must be a valid URL: {error}; {form}")
        return
    if parts.scheme != "https":
        yield invalid(f"{path}.url", parts.scheme, f"'https' is the only allowed URL scheme; {form}")
    if not parts.host:
        yield invalid(f"{path}.url", "", f"host must be specified; {form}")
    if parts.user:
        yield invalid(f"{path}.url", parts.user, "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(f"{path}.url", parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(f"{path}.url", parts.query, "query parameters are not permitted in the URL")


def _stored_versions(crd: Object, spec: Object) -> Iterator[FieldError]:
    path = "status.storedVersions"
    stored = (crd.get("status") or {}).get("storedVersions")
    if not stored:
        yield invalid(path, stored, "must have at least one stored version")
        return
    names = [v.get("name") for v in spec.get("versions") or ()]
    for index, name in enumerate(stored):
        if name not in names:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions "
                f"until a storage migration ensures no data remains persisted in {name} and removes {name} from "
                "status.storedVersions"
            )
            yield invalid(f"{path}[{index}]", name, text)
    storage = [v.get("name") for v in spec.get("versions") or () if v.get("storage")]
    if storage and storage[-1] not in stored and len(storage) > 1:
        yield invalid(path, stored, f"must have the storage version {storage[-1]}")
