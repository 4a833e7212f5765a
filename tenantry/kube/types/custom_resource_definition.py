"""CustomResourceDefinition: the type that defines custom types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from tenantry.kube.columns import CREATED_AT, NAME, column
from tenantry.kube.crd_naming import ESTABLISHED, is_condition_true
from tenantry.kube.crd_validation import crd_warnings, validate_crd, validate_crd_status
from tenantry.kube.definition import Column, ResourceDefinition, Strategy, Version
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.message_tables import OBJECT_META, message
from tenantry.kube.objects import Object, is_deleting
from tenantry.kube.omit_empty import omit_empty
from tenantry.kube.schema.ruled_schemas import RULES_AT_ONCE, characters_of_rules
from tenantry.kube.schema.structural import Schema
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import FieldError
from tenantry.kube.types.custom_resource_definition_tables import CUSTOM_RESOURCE_DEFINITION, NAMES, SPEC, STATUS

_REF = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_KIND = "CustomResourceDefinition"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"

_STRING, _BOOLEAN = Schema(type="string"), Schema(type="boolean")
_INTEGER, _NUMBER = Schema(type="integer", format="int64"), Schema(type="number", format="double")
_ANY = Schema(preserve_unknown=True)


def _object(ref: str, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return Schema(type="object", properties=properties, required=required, ref=_REF + ref if ref else "")


def _list(items: Schema, **more: Any) -> Schema:
    return Schema(type="array", items=items, list_type=more.pop("list_type", "atomic"), **more)


def _json_schema_props() -> Schema:
    own = _object("JSONSchemaProps")
    of_own = Schema(type="object", additional=own)
    list_of_own = _list(own)
    either = Schema(preserve_unknown=True)
    # A schema or a boolean, a schema or a list: validation checks which.
    maybe_own = Schema(ref=own.ref)
    strings = _list(_STRING)
    own.properties = {
        **dict.fromkeys(("$schema", "$ref", "id", "description", "type", "format", "title", "pattern"), _STRING),
        **dict.fromkeys(("maximum", "minimum", "multipleOf"), _NUMBER),
        **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"), _INTEGER),
        **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum", "uniqueItems", "nullable"), _BOOLEAN),
        **dict.fromkeys(("default", "example"), _ANY),
        "enum": _list(_ANY),
        "required": strings,
        **dict.fromkeys(("allOf", "oneOf", "anyOf"), list_of_own),
        "not": own,
        **dict.fromkeys(("properties", "patternProperties", "definitions"), of_own),
        "items": maybe_own,
        "additionalProperties": maybe_own,
        "additionalItems": either,
        "dependencies": Schema(type="object", additional=either),
        "externalDocs": _object("ExternalDocumentation", description=_STRING, url=_STRING),
        "x-kubernetes-preserve-unknown-fields": _BOOLEAN,
        "x-kubernetes-embedded-resource": _BOOLEAN,
        "x-kubernetes-int-or-string": _BOOLEAN,
        "x-kubernetes-list-map-keys": strings,
        "x-kubernetes-list-type": _STRING,
        "x-kubernetes-map-type": _STRING,
        "x-kubernetes-validations": _list(_RULE, list_type="map", list_map_keys=("rule",)),
    }
    maybe_own.properties = own.properties
    return own


_RULE = _object(
    "ValidationRule",
    ("rule",),
    rule=_STRING,
    message=_STRING,
    messageExpression=_STRING,
    reason=_STRING,
    fieldPath=_STRING,
    optionalOldSelf=_BOOLEAN,
)
JSON_SCHEMA_PROPS = _json_schema_props()
_COLUMN = _object(
    "CustomResourceColumnDefinition",
    name=_STRING,
    type=_STRING,
    format=_STRING,
    description=_STRING,
    priority=Schema(type="integer", format="int32"),
    jsonPath=_STRING,
)
_SCALE = _object(
    "CustomResourceSubresourceScale", specReplicasPath=_STRING, statusReplicasPath=_STRING, labelSelectorPath=_STRING
)
_VERSION = _object(
    "CustomResourceDefinitionVersion",
    name=_STRING,
    served=_BOOLEAN,
    storage=_BOOLEAN,
    deprecated=_BOOLEAN,
    deprecationWarning=_STRING,
    schema=_object("CustomResourceValidation", openAPIV3Schema=JSON_SCHEMA_PROPS),
    subresources=_object(
        "CustomResourceSubresources",
        status=Schema(type="object", ref=_REF + "CustomResourceSubresourceStatus"),
        scale=_SCALE,
    ),
    additionalPrinterColumns=_list(_COLUMN),
    selectableFields=_list(_object("SelectableField", jsonPath=_STRING)),
)
_SERVICE = _object("ServiceReference", namespace=_STRING, name=_STRING, path=_STRING, port=Schema(type="integer", format="int32"))
_CONVERSION = _object(
    "CustomResourceConversion",
    strategy=_STRING,
    webhook=_object(
        "WebhookConversion",
        clientConfig=_object("WebhookClientConfig", url=_STRING, service=_SERVICE, caBundle=Schema(type="string", format="byte")),
        conversionReviewVersions=_list(_STRING),
    ),
)
_SPEC = _object(
    "CustomResourceDefinitionSpec",
    group=_STRING,
    names=replace(NAMES.schema, default={}, has_default=True),
    scope=_STRING,
    versions=_list(_VERSION),
    conversion=_CONVERSION,
    preserveUnknownFields=_BOOLEAN,
)
SCHEMA = _object(
    "CustomResourceDefinition",
    ("spec",),
    apiVersion=_STRING,
    kind=_STRING,
    metadata=OBJECT_META.schema,
    spec=_SPEC,
    status=STATUS.schema,
)
SCHEMA.description = "CustomResourceDefinition represents a resource that should be exposed on the API server."


class CustomResourceDefinitionStrategy(Strategy):
    """Defaults, the status subresource, the stored versions, and upstream's validation."""

    unconditional_update = False
    tracks_generation = True
    bare_finalizers = True
    may_take_long = True

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        changed = old is None or old.get("spec") != obj.get("spec")
        return changed and characters_of_rules(obj.get("spec")) > RULES_AT_ONCE

    def default(self, obj: Object) -> None:
        """Raises Mismatch for values of wrong types."""
        # The shape is checked first: everything below relies on it.
        wrong = validate({"spec": {} if obj.get("spec") is None else obj["spec"]}, _SHAPE)
        if wrong:
            # Decodes a copy as Go does, for its text.
            normaliser(CUSTOM_RESOURCE_DEFINITION)(orjson.loads(orjson.dumps(obj)))
            place, kind = wrong[0].field, wrong[0].text.partition('"')[2].partition('"')[0] or "number"
            raise Mismatch(None, "", f"json: cannot unmarshal {kind} into Go struct field {place}")
        if "status" in obj:
            _normalise_status(obj)
        _default(obj)

    def prepare_for_create(self, obj: Object) -> None:
        stored = _storage_versions(obj)[:1]
        obj["status"] = {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": stored or None,
        }

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        if subresource == "status":
            # Unlike that of other types, upstream's status of a definition takes labels and annotations too.
            obj["spec"] = old.get("spec")
            status = obj.setdefault("status", {})
            if not status.get("storedVersions"):
                status["storedVersions"] = _storage_versions(obj)[:1]
            return
        obj["status"] = status = dict(old.get("status") or {})
        storage = _storage_versions(obj)[:1]
        stored = list(status.get("storedVersions") or ())
        if storage and storage[0] not in stored:
            status["storedVersions"] = [*stored, storage[0]]

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if subresource == "status":
            return validate_crd_status(obj)
        return validate_crd(obj, old)

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        return crd_warnings(obj, old)

    def begin_deletion(self, obj: Object) -> None:
        metadata = obj["metadata"]
        if FINALIZER not in (metadata.get("finalizers") or ()):
            metadata["finalizers"] = [*(metadata.get("finalizers") or ()), FINALIZER]

    def holds(self, obj: Object) -> bool:
        """A deleted definition stays until its objects are deleted."""
        return not is_deleting(obj)


_SHAPE = Schema(type="object", properties={"spec": _SPEC})
_normalise_status = normaliser(message(_REF + _KIND, "3 status CustomResourceDefinitionStatus", STATUS))


def _storage_versions(obj: Object) -> list[str]:
    return [v.get("name", "") for v in (obj.get("spec") or {}).get("versions") or () if v.get("storage")]


def _default(obj: Object) -> None:
    """Applies the defaults of v1, and the form in which Go writes a definition."""
    spec = obj["spec"] = obj.get("spec") or {}
    names = spec["names"] = spec.get("names") or {}
    if names.get("kind"):
        if not names.get("singular"):
            names["singular"] = names["kind"].lower()
        if not names.get("listKind"):
            names["listKind"] = f"{names['kind']}List"
    conversion = spec.get("conversion")
    if not conversion or not conversion.get("strategy"):
        spec["conversion"] = {**(conversion or {}), "strategy": "None"}
    service = ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
    if isinstance(service, dict) and service.get("port") is None:
        service["port"] = 443
    for version in spec.get("versions") or ():
        version.setdefault("served", False)
        version.setdefault("storage", False)
    omit_empty(spec, SPEC)


def _spec_of(crd: Object) -> Object:
    # The object of a bookmark has none.
    return crd.get("spec") or {}


def _versions(crd: Object) -> str:
    """The served versions: `v1(storage),v1beta1`."""
    served = (v for v in _spec_of(crd).get("versions") or () if v.get("served"))
    return ",".join(sorted(f"{v.get('name', '')}{'(storage)' if v.get('storage') else ''}" for v in served))


_COLUMNS = (
    NAME,
    column("Scope", "Cluster/Namespaced", lambda crd: _spec_of(crd).get("scope", "")),
    column("Versions", "Served versions", _versions),
    CREATED_AT,
    column("Group", "API group", lambda crd: _spec_of(crd).get("group", ""), priority=1),
    column("Kind", "CustomResource kind", lambda crd: (_spec_of(crd).get("names") or {}).get("kind", ""), priority=1),
    column(
        "ShortNames", "Short names", lambda crd: ",".join((_spec_of(crd).get("names") or {}).get("shortNames") or ()), priority=1
    ),
    Column(
        name="Established",
        type="boolean",
        description="Established status",
        priority=1,
        cell=lambda crd, now: is_condition_true(crd, ESTABLISHED),
    ),
)

DEFINITION = ResourceDefinition(
    group="apiextensions.k8s.io",
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    kind="CustomResourceDefinition",
    list_kind="CustomResourceDefinitionList",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    versions={
        "v1": Version(
            name="v1", schema=SCHEMA, protobuf=CUSTOM_RESOURCE_DEFINITION, columns=_COLUMNS, subresources=frozenset(("status",))
        )
    },
    storage_version="v1",
    upstream_storage_version="v1beta1",
    strategy=CustomResourceDefinitionStrategy(),
)
