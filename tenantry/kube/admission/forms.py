"""How mutations of admission read and complete the objects of a type (`mutating.Form`)."""

from __future__ import annotations

from typing import Any

import orjson

from tenantry.kube import decode
from tenantry.kube.admission.mutating import MutationFailed
from tenantry.kube.apply.typed import Node, compile_schema
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.field_errors import VALUE_CHARACTERS, show
from tenantry.kube.field_errors import invalid as invalid_field
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.go_text import quote
from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object, group_version
from tenantry.kube.patch import restored
from tenantry.kube.scale import SCALE, SCALE_KIND
from tenantry.kube.schema.default import default
from tenantry.kube.schema.embedded import decode_embedded
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import FieldError, cut, internal, invalid

_SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_JSON_NAMES: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}


class BuiltInForm:
    """Objects that Go decodes into a struct."""

    is_typed = True

    def __init__(
        self,
        message: Message,
        group: str,
        version: str,
        kind: str,
        schema: Schema,
        definition: ResourceDefinition | None = None,
    ) -> None:
        """`definition`: whose strategy has defaults, if there is one."""
        self.node: Node = compile_schema(schema)
        self._message = message
        self._normalise = normaliser(message)
        self._schema = schema
        self._group = group
        self._version = version
        self._kind = kind
        self._definition = definition

    def merged(self, obj: Object) -> Object:
        why = restored.problem(self._message, obj)
        try:
            self._normalise(obj)
        except Mismatch as mismatch:
            why = why or mismatch.conversion_text()
        if why:
            what = f"{self._group}/{self._version}, Kind={self._kind}"
            raise MutationFailed(f"unable to convert unstructured object to {what}: {why}")
        return self._defaulted(obj)

    def patched(self, document: Any) -> Object:
        obj = _object(document)
        api_version, kind = obj.get("apiVersion") or self.api_version, obj.get("kind") or self._kind
        if (api_version, kind) != (self.api_version, self._kind):
            raise internal(f"no kind {quote(str(kind))} is registered for version {quote(str(api_version))} {_SCHEME}")
        obj |= {"apiVersion": api_version, "kind": kind}
        obj.setdefault("metadata", {})
        try:
            self._normalise(obj)
        except Mismatch as mismatch:
            raise internal(mismatch.text()) from None
        if unknown := decode.unknown_fields(obj, self._schema):
            fields = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise internal(f"strict decoding error: {fields}")
        return self._defaulted(obj)

    def finish(self, obj: Object) -> None:
        """Nothing is left to do after the last mutation."""

    @property
    def api_version(self) -> str:
        return group_version(self._group, self._version)

    def _defaulted(self, obj: Object) -> Object:
        if obj.get("metadata") is None:
            obj["metadata"] = {}
        if self._definition is not None:
            try:
                self._definition.strategy.default(obj)
            except Mismatch as mismatch:
                raise internal(mismatch.text()) from None
        return obj


class CustomForm:
    """Custom resources: what their schema does not have is dropped after the last mutation."""

    is_typed = False

    def __init__(self, definition: ResourceDefinition, version: Version) -> None:
        self.node: Node = compile_schema(version.schema)
        self._definition = definition
        self._version = version

    def merged(self, obj: Object) -> Object:
        default(obj, self._version.schema)
        return obj

    def patched(self, document: Any) -> Object:
        obj = _object(document)
        definition = self._definition
        kind, api_version = obj.get("kind"), definition.api_version(self._version.name)
        if not kind:
            raise internal(f"Object 'Kind' is missing in '{cut(orjson.dumps(obj).decode(), VALUE_CHARACTERS)}'")
        if obj.get("apiVersion") != api_version:
            group, _, version = str(obj.get("apiVersion") or "").rpartition("/")
            what = f"{group}/{version}, Kind={kind} is unstructured and is not suitable for converting to {quote(api_version)}"
            raise internal(f"failed to convert object: {what}")
        if kind != definition.kind:
            error = FieldError("Invalid", "kind", f"Invalid value: {show(kind)}: must be {definition.kind}")
            raise invalid(definition.group, str(kind), _name(obj), [error])
        if not isinstance(obj.get("metadata"), dict):
            raise internal("system metadata was not initialized")
        default(obj, self._version.schema)
        return obj

    def finish(self, obj: Object) -> None:
        """Checks the metadata and drops unknown fields, in place. Raises StatusError."""
        try:
            decode.normalise(obj, self._version)
            decode_embedded(obj, self._version.schema)
        except Mismatch as mismatch:
            error = invalid_field("metadata", obj["metadata"], mismatch.text())
            raise invalid(self._definition.group, self._definition.kind, _name(obj), [error]) from None
        prune(obj, self._version.schema)


AnyForm = BuiltInForm | CustomForm


def form_of(definition: ResourceDefinition, version: Version) -> AnyForm:
    """The form of a type's objects in one version. It is made once."""
    found: AnyForm | None = version.memo.get("mutation.form")
    if found is None:
        message = version.message
        found = (
            CustomForm(definition, version)
            if message is None
            else BuiltInForm(message, definition.group, version.name, definition.kind, version.schema, definition)
        )
        version.memo["mutation.form"] = found
    return found


SCALE_FORM = BuiltInForm(SCALE, *SCALE_KIND, SCALE.schema)
"""The form of the objects of the subresource scale."""


def _object(document: Any) -> Object:
    if isinstance(document, dict):
        return document
    found = _JSON_NAMES.get(type(document), "null")
    raise internal(
        f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {_TYPE_META}"
    )


def _name(obj: Object) -> str:
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    return name if isinstance(name, str) else ""
