"""Schemas as shared components of OpenAPI documents."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import NamedTuple

from tenantry.kube.message_tables import DELETE_OPTIONS, OBJECT_META
from tenantry.kube.objects import Object
from tenantry.kube.openapi.descriptions import description
from tenantry.kube.openapi.values import show_values
from tenantry.kube.schema.parse import to_openapi
from tenantry.kube.schema.structural import Schema

_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
API_VERSION_TEXT = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to "
    f"the latest internal value, and may reject unrecognized values. More info: {_CONVENTIONS}#resources"
)
KIND_TEXT = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the "
    f"client submits requests to. Cannot be updated. In CamelCase. More info: {_CONVENTIONS}#types-kinds"
)
_EMBEDDED_API_VERSION_TEXT = (
    f"apiVersion defines the versioned schema of this representation of an object. More info: {_CONVENTIONS}#resources"
)
_EMBEDDED_KIND_TEXT = (
    f"kind is a string value representing the type of this object. In CamelCase. More info: {_CONVENTIONS}#types-kinds"
)
METADATA_TEXT = f"Standard object's metadata. More info: {_CONVENTIONS}#metadata"
LIST_METADATA_TEXT = f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds"
LIST_TEXT = f"More info: {_CONVENTIONS}"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_AUTOSCALING = "io.k8s.api.autoscaling.v1."
_FIELDS_V1 = _META + "FieldsV1"
_EITHER: Mapping[str, Object] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
}
"""Components that are a text or a number, which Swagger 2.0 cannot say."""
_TEXTS: Mapping[str, Object] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
}
"""What Swagger 2.0 says of them."""
_TEXT, _COUNT = Schema(type="string"), Schema(type="integer", format="int32")


def _schema(ref: str, **properties: Schema) -> Schema:
    return Schema(type="object", properties=properties, ref=ref)


def meta_schema(name: str, properties: dict[str, Schema], required: tuple[str, ...]) -> Schema:
    """A message of meta.k8s.io. `required`: the fields that are always there."""
    return Schema(type="object", properties=properties, required=required, ref=_META + name)


LIST_META = _schema(
    _META + "ListMeta",
    **{"continue": _TEXT},
    remainingItemCount=Schema(type="integer", format="int64"),
    resourceVersion=_TEXT,
    selfLink=_TEXT,
)
PATCH = Schema(type="object", description="The body of a PATCH: a patch in any of the formats.", ref=_META + "Patch")
_STATUS_CAUSE = _schema(_META + "StatusCause", field=_TEXT, message=_TEXT, reason=_TEXT)
_STATUS_DETAILS = _schema(
    _META + "StatusDetails",
    name=_TEXT,
    group=_TEXT,
    kind=_TEXT,
    uid=_TEXT,
    causes=Schema(type="array", items=_STATUS_CAUSE, list_type="atomic"),
    retryAfterSeconds=_COUNT,
)
STATUS = _schema(
    _META + "Status",
    apiVersion=_TEXT,
    kind=_TEXT,
    metadata=LIST_META,
    status=_TEXT,
    message=_TEXT,
    reason=_TEXT,
    code=_COUNT,
    details=_STATUS_DETAILS,
)
SCALE = _schema(
    _AUTOSCALING + "Scale",
    apiVersion=_TEXT,
    kind=_TEXT,
    metadata=OBJECT_META.schema,
    spec=_schema(_AUTOSCALING + "ScaleSpec", replicas=_COUNT),
    status=_schema(_AUTOSCALING + "ScaleStatus", replicas=_COUNT, selector=_TEXT),
)
DELETE_OPTIONS_SCHEMA = DELETE_OPTIONS.schema
_ROOTS = {
    _AUTOSCALING + "Scale": "autoscaling",
    **dict.fromkeys((_META + name for name in ("Status", "DeleteOptions", "APIVersions", "APIGroup", "APIGroupList")), ""),
}
"""The shared components that are kinds of their own, with their group."""


class Form(NamedTuple):
    """The JSON path of components in a document, and whether it is Swagger 2.0."""

    prefix: str
    v2: bool


V3 = Form("#/components/schemas/", False)
V2 = Form("#/definitions/", True)


def reference(schema: Schema, form: Form) -> Object:
    return {"$ref": form.prefix + schema.ref}


def collect(roots: Iterable[Schema], form: Form, without: Container[str] = ()) -> dict[str, Object]:
    """The components of some schemas and of all schemas that they refer to, by name. `without`: those that are known already."""
    found: dict[str, Object] = {}
    waiting = list(roots)

    def refer(schema: Schema) -> Object | None:
        if not schema.ref:
            return None
        if schema.ref not in found and schema.ref not in without:
            waiting.append(schema)
        place = reference(schema, form)
        if form.v2 or not schema.has_default or schema.default is None:
            return place
        return {"allOf": [place], "default": schema.default}

    while waiting:
        schema = waiting.pop()
        if schema.ref not in found:
            found[schema.ref] = {}
            found[schema.ref] = _component(schema, refer, form)
    return found


def _component(schema: Schema, refer: Callable[[Schema], Object | None], form: Form) -> Object:
    about = description(schema.ref)
    if schema.ref in _EITHER:
        made = dict((_TEXTS if form.v2 else _EITHER)[schema.ref])
    elif schema.ref == _FIELDS_V1:
        # What is in it has no schema, and clients that check objects take it as it is.
        made = {"type": "object"}
    else:
        made = to_openapi(schema, refer, v2=form.v2)
    if about.text:
        made.setdefault("description", about.text)
    if about.fields:
        shown = made["properties"]
        for name, text in about.fields.items():
            shown[name] = described(shown[name], text, form)
    if "properties" in made:
        show_values(schema.ref, made["properties"])
    if schema.ref in _ROOTS:
        shown = made["properties"]
        shown["apiVersion"] = {**shown["apiVersion"], "description": API_VERSION_TEXT}
        shown["kind"] = {**shown["kind"], "description": KIND_TEXT}
        kind = schema.ref.rpartition(".")[2]
        made["x-kubernetes-group-version-kind"] = [{"group": _ROOTS[schema.ref], "kind": kind, "version": "v1"}]
    # A default belongs to the field that refers to this component, and not to the component.
    made.pop("default", None)
    return made


def describe_root(component: Object, form: Form) -> None:
    """Sets upstream's descriptions on the fields that every kind has, in place."""
    properties = component.setdefault("properties", {})
    properties["apiVersion"] = {**properties.get("apiVersion", {"type": "string"}), "description": API_VERSION_TEXT}
    properties["kind"] = {**properties.get("kind", {"type": "string"}), "description": KIND_TEXT}
    metadata = {"$ref": form.prefix + OBJECT_META.schema.ref}
    properties["metadata"] = described(metadata, METADATA_TEXT, form)


def describe_embedded(component: Object, form: Form) -> None:
    """Adds the fields that every object has to embedded resources, in place: a CustomResourceDefinition need not name them."""
    waiting = [component]
    while waiting:
        each = waiting.pop()
        below = [*each.get("properties", {}).values(), each.get("items"), each.get("additionalProperties")]
        if each.get("x-kubernetes-embedded-resource") and not (form.v2 and each.get("x-kubernetes-preserve-unknown-fields")):
            properties = each["properties"] = dict(each.get("properties", {}))
            properties["apiVersion"] = {"type": "string", "description": _EMBEDDED_API_VERSION_TEXT}
            properties["kind"] = {"type": "string", "description": _EMBEDDED_KIND_TEXT}
            properties["metadata"] = described({"$ref": form.prefix + OBJECT_META.schema.ref}, METADATA_TEXT, form)
            required = each.get("required", [])
            each["required"] = [*required, *(name for name in ("kind", "apiVersion") if name not in required)]
        waiting += [item for item in below if isinstance(item, dict)]


def described(place: Object, text: str, form: Form) -> Object:
    """A field, or a reference, with a description. In OpenAPI 3.0 no other key may stand beside `$ref`."""
    if form.v2 or "$ref" not in place:
        return {**place, "description": text}
    return {"allOf": [place], "description": text}
