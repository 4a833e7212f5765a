"""Checks CEL expressions against the types of a schema, with cel-expr-python and cel-go's texts."""

from __future__ import annotations

from typing import Any, NamedTuple

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, struct_pb2, timestamp_pb2

from tenantry.kube.schema.cel import CelError, compile_text, escape, refuse_too_large
from tenantry.kube.schema.cel_engine import kubernetes_library, standard_extensions
from tenantry.kube.schema.cel_library.declarations import OPAQUE, PACKAGE
from tenantry.kube.schema.structural import Schema

_LABEL = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "integer": (_LABEL.TYPE_INT64, cel.Type.INT),
    "number": (_LABEL.TYPE_DOUBLE, cel.Type.DOUBLE),
    "boolean": (_LABEL.TYPE_BOOL, cel.Type.BOOL),
    "string": (_LABEL.TYPE_STRING, cel.Type.STRING),
}
_WELL_KNOWN = {
    "date-time": ("google.protobuf.Timestamp", cel.Type.TIMESTAMP),
    "date": ("google.protobuf.Timestamp", cel.Type.TIMESTAMP),
    "duration": ("google.protobuf.Duration", cel.Type.DURATION),
}
_VALUE = "google.protobuf.Value"
_PACKAGE = "object"
_FEW = 64
"""So many message types add little to the time of a check."""


class CheckedExpression(NamedTuple):
    """A checked expression: the name of its type (BOOL, STRING, DYN, …) and the engine's serialized syntax tree."""

    type: str
    serialized: bytes


class Checker:
    """Checks expressions against the type of one schema (`Types.checker`)."""

    def __init__(self, types: Types, own: cel.Type) -> None:
        variables = {"self": own, "oldSelf": own}
        extensions = [*standard_extensions(), kubernetes_library()]
        self._environment = cel.NewEnv(types.pool, variables=variables, extensions=extensions)

    def check(self, expression: str, *, optional_old: bool = False) -> CheckedExpression:
        """Raises CelError with cel-go's text (`ERROR: <input>:1:5: undefined field 'x'…`)."""
        before = "cel.bind(oldSelf, optional.of(oldSelf), " if optional_old else ""
        refuse_too_large(expression)
        try:
            compiled = self._environment.compile(f"{before}{expression}\n)" if before else expression)
        except RuntimeError as error:
            raise CelError(compile_text(str(error), shift=len(before))) from None
        return CheckedExpression(compiled.return_type().name(), compiled.serialize())


class Types:
    """CEL types for a schema and the schemas below it, for the rules of all of them.

    Objects become message types, the engine's only types with fields. `is_root` adds the fields of every object: apiVersion, kind
    and metadata (name and generateName).
    """

    def __init__(self, root: Schema, *, is_root: bool) -> None:
        self._root = root if is_root else None
        self._messages: dict[int, tuple[str, int]] = {}
        """By id() of the schema: its type name, and the number of message types for it and the schemas below it."""
        self._file = descriptor_pb2.FileDescriptorProto(name="schema.proto", package=_PACKAGE, syntax="proto2")
        for module in (struct_pb2, timestamp_pb2, duration_pb2):
            self._file.dependency.append(module.DESCRIPTOR.name)
        self._type = self._of(root)
        self._of_root = root
        self.pool = self._pool()

    def covering(self, schema: Schema) -> Types:
        """The types to use for a schema below: these, or new ones of its own.

        Making types takes time for each type, and so does checking an expression beside them. So rules share types where they
        need most of them: for example many levels above one object. Otherwise they get types of their own.
        """
        messages = len(self._file.message_type)
        known = self._messages.get(id(schema))
        if schema is self._of_root or (known is not None and (2 * known[1] >= messages or messages <= _FEW)):
            return self
        return Types(schema, is_root=False)

    def checker(self, schema: Schema) -> Checker:
        """The checker for the rules of a schema that these types cover."""
        own = self._type if schema is self._of_root else self._of(schema)
        return Checker(self, own or cel.Type.DYN)

    def _pool(self) -> descriptor_pool.DescriptorPool:
        pool = descriptor_pool.DescriptorPool()
        for module in (struct_pb2, timestamp_pb2, duration_pb2):
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        opaque = descriptor_pb2.FileDescriptorProto(name="kubernetes.proto", package=PACKAGE, syntax="proto2")
        for name in OPAQUE:
            opaque.message_type.add(name=name)
        pool.AddSerializedFile(opaque.SerializeToString())
        pool.AddSerializedFile(self._file.SerializeToString())
        return pool

    def _of(self, schema: Schema) -> cel.Type | None:
        """The type of a variable with the schema. None where a rule may not use it."""
        if schema.int_or_string:
            return cel.Type.DYN
        if schema.type == "string":
            if schema.format == "byte":
                return cel.Type.BYTES
            return _WELL_KNOWN[schema.format][1] if schema.format in _WELL_KNOWN else cel.Type.STRING
        if schema.type in _SCALARS:
            return _SCALARS[schema.type][1]
        if schema.type == "array" and schema.items is not None:
            items = self._of(schema.items)
            return cel.Type.List(items) if items is not None else None
        if isinstance(schema.additional, Schema):
            values = self._of(schema.additional)
            return cel.Type.Map(cel.Type.STRING, values) if values is not None else None
        if schema.type == "object" or schema.properties:
            return cel.Type(f"{_PACKAGE}.{self._message(schema)}")
        return None

    def _message(self, schema: Schema) -> str:
        known = self._messages.get(id(schema))
        if known is not None:
            return known[0]
        before = len(self._file.message_type)
        message = self._file.message_type.add()
        name = message.name = f"Object{before + 1}"
        properties = dict(schema.properties)
        if schema is self._root or schema.embedded_resource:
            text = Schema(type="string")
            properties["apiVersion"] = properties["kind"] = text
            properties["metadata"] = Schema(type="object", properties={"name": text, "generateName": text})
        taken: set[str] = set()
        for field, child in properties.items():
            escaped = escape(field)
            if escaped is not None:
                self._field(message, escaped, child, taken)
        self._messages[id(schema)] = name, len(self._file.message_type) - before
        return name

    def _field(self, message: descriptor_pb2.DescriptorProto, name: str, schema: Schema, taken: set[str]) -> None:
        """A field of a message type. `taken` are the names used in the message."""
        if schema.type == "array" and schema.items is not None:
            kind = self._element(schema.items)
            label = _LABEL.LABEL_REPEATED
        elif isinstance(schema.additional, Schema) and not schema.int_or_string:
            kind, label = self._map(message, name, schema.additional, taken)
        else:
            kind, label = self._element(schema), _LABEL.LABEL_OPTIONAL
        if kind is None:
            return
        taken.add(name)
        field = message.field.add(name=name, number=len(message.field) + 1, type=kind[0], label=label)
        if kind[1]:
            field.type_name = kind[1]

    def _element(self, schema: Schema) -> tuple[Any, str] | None:
        if schema.int_or_string or schema.type == "array" or isinstance(schema.additional, Schema):
            # Protobuf has no type for lists of lists, so their items are not checked.
            return _LABEL.TYPE_MESSAGE, f".{_VALUE}"
        if schema.type == "string" and schema.format in _WELL_KNOWN:
            return _LABEL.TYPE_MESSAGE, f".{_WELL_KNOWN[schema.format][0]}"
        if schema.type == "string" and schema.format == "byte":
            return _LABEL.TYPE_BYTES, ""
        if schema.type in _SCALARS:
            return _SCALARS[schema.type][0], ""
        if schema.type == "object" or schema.properties:
            return _LABEL.TYPE_MESSAGE, f".{_PACKAGE}.{self._message(schema)}"
        return None

    def _map(
        self, message: descriptor_pb2.DescriptorProto, field: str, values: Schema, taken: set[str]
    ) -> tuple[tuple[Any, str] | None, Any]:
        """The type and label of a map field. In protobuf a map is a repeated field of entries with a prescribed type name."""
        kind = self._element(values)
        if kind is None:
            return None, _LABEL.LABEL_OPTIONAL
        name = "".join(part[:1].upper() + part[1:] for part in field.split("_")) + "Entry"
        if name in taken:
            # Two fields that differ only in underscores would need the same name, so the second is not checked.
            return (_LABEL.TYPE_MESSAGE, f".{_VALUE}"), _LABEL.LABEL_OPTIONAL
        taken.add(name)
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_LABEL.TYPE_STRING, label=_LABEL.LABEL_OPTIONAL)
        value = entry.field.add(name="value", number=2, type=kind[0], label=_LABEL.LABEL_OPTIONAL)
        if kind[1]:
            value.type_name = kind[1]
        return (_LABEL.TYPE_MESSAGE, f".{_PACKAGE}.{message.name}.{name}"), _LABEL.LABEL_REPEATED
