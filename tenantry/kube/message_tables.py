"""Tables of Kubernetes' built-in messages: one line for each field. Schema, decoding and protobuf are derived from them.

A line is `<protobuf number> <JSON name> <type> [flags]`.

Types are Go's types, because these decide what is accepted and what is written back: string, bool, int32, int64, double, bytes,
Time, MicroTime, Quantity, IntOrString, FieldsV1, JSON, RawExtension, Values (a list of strings that is a message of its own in
protobuf), or the name of another message, or of the message itself. `SelfOrList`, `SelfOrBool` and `SelfOrStrings` are the
message itself or, in JSON, that other value. `string(v1.SecretType)` names a Go string type (error texts show it). `*` before a
type is a pointer (a zero value is kept when it was sent). `[]` is a list, `map[]` a map with string keys.

Flags: `always` (written even when empty, as a Go field without omitempty), `required` (in OpenAPI and for server-side apply),
`merge` or `merge=key`, `retain` and `replace` (strategic merge patch), `set` or `map=key,…` (list type), `atomic` or `granular`
(whether server-side apply treats a map as one value), `default=` with a JSON value, `off` (upstream drops it, because a feature
gate is off by default).

A line with `-` for a name and the flag `inline` is a message whose fields are fields of this one in JSON. Protobuf has it as a
message of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from tenantry.kube.schema.structural import Schema

_SCALARS: dict[str, tuple[str, str]] = {
    "string": ("string", ""),
    "bool": ("boolean", ""),
    "int32": ("integer", "int32"),
    "int64": ("integer", "int64"),
    "double": ("number", "double"),
    "bytes": ("string", "byte"),
    "Time": ("string", "date-time"),
    "MicroTime": ("string", "date-time"),
}
ABSENT = object()
_ZERO_VALUES: dict[str, Any] = {
    "string": "",
    "bool": False,
    "int32": 0,
    "int64": 0,
    "double": 0,
    "Time": None,
    "MicroTime": None,
    "Quantity": "0",
    "IntOrString": 0,
    "bytes": None,
}
_GO_NAMES = {name: name for name in _SCALARS} | {
    "double": "float64",
    "bytes": "[]uint8",
    "Time": "v1.Time",
    "MicroTime": "v1.MicroTime",
    "Quantity": "resource.Quantity",
    "IntOrString": "intstr.IntOrString",
    "FieldsV1": "v1.FieldsV1",
    "JSON": "v1.JSON",
    "RawExtension": "runtime.RawExtension",
    "Values": "v1.ExtraValue",
    "SelfOrList": "v1.JSONSchemaPropsOrArray",
    "SelfOrBool": "v1.JSONSchemaPropsOrBool",
    "SelfOrStrings": "v1.JSONSchemaPropsOrStringArray",
}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SHARED_REFS = {
    "Time": _META + "Time",
    "MicroTime": _META + "MicroTime",
    "Quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "IntOrString": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "FieldsV1": _META + "FieldsV1",
    "RawExtension": "io.k8s.apimachinery.pkg.runtime.RawExtension",
}


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of a field. `container` is empty, list or map; `message` is set where the element is one."""

    name: str
    go_name: str
    container: str = ""
    pointer: bool = False
    message: Message | None = None

    @property
    def go_type(self) -> str:
        """The type as Go's reflection prints it."""
        if self.container == "map" and self.name == "Quantity":
            return "v1.ResourceList"
        prefix = {"list": "[]", "map": "map[string]"}.get(self.container, "")
        return prefix + self.go_name


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a table."""

    number: int
    name: str
    type: FieldType
    always: bool = False
    required: bool = False
    patch_strategy: tuple[str, ...] = ()
    patch_merge_key: str = ""
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""
    default: Any = None
    inline: bool = False
    gated: bool = False
    within: str = ""
    """The name of the inline message that the field comes from: `RuleWithOperations.Rule`, if that is inline in another one."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message: `ref` is its name in OpenAPI documents, `root` marks kinds (they have apiVersion and kind).

    `fields` are those of JSON. `wire` are those of protobuf, where an inline message is a field, whose name begins with `-`.
    """

    ref: str
    fields: tuple[Field, ...]
    wire: tuple[Field, ...] = ()
    root: bool = False
    schema: Schema = field(default_factory=Schema)
    memo: dict[str, Any] = field(default_factory=dict, repr=False)
    """Values that other modules derive from the table once, by a key for each use."""

    @property
    def name(self) -> str:
        return self.ref.rpartition(".")[2]

    @property
    def go_name(self) -> str:
        """`v1.ObjectMeta`."""
        return ".".join(self.ref.split(".")[-2:])


def message(
    ref: str,
    table: str,
    *used: Message,
    root: bool = False,
    atomic: bool = False,
    known: Mapping[str, Message] | None = None,
) -> Message:
    """A message from its table. `used` are the messages that its lines name, `known` those that they name by other names than
    their own. `atomic` means that server-side apply treats the struct as one value.

    Raises KeyError for an unknown type.
    """
    made = Message(ref, (), root=root, schema=Schema(type="object", map_type="atomic" if atomic else "", ref=ref))
    by_name = {**(known or {}), **{m.name: m for m in (*used, made)}}
    # A line may name the message itself, so its fields are set after it is made.
    wire = tuple(_field(line.split(), by_name) for line in table.strip().splitlines())
    object.__setattr__(made, "wire", wire)
    object.__setattr__(made, "fields", tuple(_flat(wire)))
    _describe(made.schema, made.fields, root)
    return made


def _flat(fields: Iterable[Field]) -> Iterator[Field]:
    """The fields as JSON has them."""
    for item in fields:
        if item.inline and item.type.message is not None:
            for field in item.type.message.fields:
                within = item.type.message.name
                yield replace(field, within=f"{within}.{field.within}" if field.within else within)
        else:
            yield item


def _field(words: list[str], known: Mapping[str, Message]) -> Field:
    number, name, type_text, *flags = words
    values = dict(flag.partition("=")[::2] for flag in flags)
    list_type = next((t for t in ("set", "map") if t in values), "")
    field_type = _field_type(type_text, known)
    if field_type.container == "list" and not list_type:
        list_type = "atomic"
    inline = "inline" in values
    return Field(
        int(number),
        f"-{number}" if inline else name,
        field_type,
        always="always" in values,
        required="required" in values,
        patch_strategy=tuple(word for flag, word in _STRATEGIES if flag in values),
        patch_merge_key=values.get("merge", ""),
        list_type=list_type,
        list_map_keys=tuple(values["map"].split(",")) if "map" in values else (),
        map_type=next((flag for flag in ("atomic", "granular") if flag in values), ""),
        default=orjson.loads(values["default"]) if "default" in values else None,
        inline=inline,
        gated="off" in values,
    )


_STRATEGIES = (("merge", "merge"), ("retain", "retainKeys"), ("replace", "replace"))


def _field_type(text: str, known: Mapping[str, Message]) -> FieldType:
    container = ""
    if text.startswith("[]"):
        container, text = "list", text[2:]
    elif text.startswith("map[]"):
        container, text = "map", text[5:]
    pointer = text.startswith("*")
    name, _, go_name = text.lstrip("*").rstrip(")").partition("(")
    if name in _GO_NAMES:
        go_name = go_name or _GO_NAMES[name]
        return FieldType(name, go_name, container, pointer)
    return FieldType(name, known[name].go_name, container, pointer, known[name])


def _describe(schema: Schema, fields: tuple[Field, ...], root: bool) -> None:
    if root:
        schema.properties = {"apiVersion": Schema(type="string"), "kind": Schema(type="string")}
    schema.properties |= {f.name: _field_schema(f, root=root) for f in fields}
    schema.required = tuple(f.name for f in fields if f.required)


def _field_schema(item: Field, *, root: bool) -> Schema:
    schema = _element_schema(item.type)
    if item.type.container == "map":
        schema = Schema(type="object", additional=schema, map_type=item.map_type)
    elif item.type.container == "list":
        schema = Schema(
            type="array",
            items=schema,
            list_type=item.list_type,
            list_map_keys=item.list_map_keys,
            patch_strategy=item.patch_strategy,
            patch_merge_key=item.patch_merge_key,
        )
    elif item.patch_strategy or item.map_type:
        schema = replace(schema, patch_strategy=item.patch_strategy, map_type=item.map_type or schema.map_type, compiled=None)
    default = _default(item, root=root)
    if default is ABSENT:
        return schema
    # The schema of a message is shared by all fields that use it.
    return replace(schema, default=default, has_default=True, compiled=None)


def _default(item: Field, *, root: bool) -> Any:
    """The value of a field that was not sent: its default, or Go's zero value where the field is always present."""
    if item.default is not None:
        return item.default
    if item.type.pointer or item.type.container:
        return None if item.always else ABSENT
    if item.type.message is not None:
        return ABSENT if root and item.name == "metadata" else {}
    return _ZERO_VALUES.get(item.type.name, ABSENT) if item.always else ABSENT


def _element_schema(of: FieldType) -> Schema:
    if of.message is not None:
        return of.message.schema
    if of.name == "JSON" or of.name.startswith("SelfOr"):
        return Schema(preserve_unknown=True)
    if of.name == "RawExtension":
        return Schema(type="object", preserve_unknown=True, ref=_SHARED_REFS["RawExtension"])
    if of.name == "Values":
        return Schema(type="array", items=Schema(type="string"), list_type="atomic")
    if of.name == "FieldsV1":
        return Schema(type="object", preserve_unknown=True, map_type="atomic", ref=_SHARED_REFS["FieldsV1"])
    if of.name == "Quantity":
        return Schema(type="string", int_or_string=True, ref=_SHARED_REFS["Quantity"])
    if of.name == "IntOrString":
        return Schema(type="string", format="int-or-string", ref=_SHARED_REFS["IntOrString"])
    kind, text_format = _SCALARS[of.name]
    return Schema(type=kind, format=text_format, ref=_SHARED_REFS.get(of.name, ""))


OWNER_REFERENCE = message(
    _META + "OwnerReference",
    """
    5 apiVersion         string            always required
    1 kind               string            always required
    3 name               string            always required
    4 uid                string(types.UID) always required
    6 controller         *bool
    7 blockOwnerDeletion *bool
    """,
    atomic=True,
)
MANAGED_FIELDS_ENTRY = message(
    _META + "ManagedFieldsEntry",
    """
    1 manager     string
    2 operation   string(v1.ManagedFieldsOperationType)
    3 apiVersion  string
    4 time        *Time
    6 fieldsType  string
    7 fieldsV1    *FieldsV1
    8 subresource string
    """,
)
OBJECT_META = message(
    _META + "ObjectMeta",
    """
    1  name                       string
    2  generateName               string
    3  namespace                  string
    4  selfLink                   string
    5  uid                        string(types.UID)
    6  resourceVersion            string
    7  generation                 int64
    8  creationTimestamp          Time
    9  deletionTimestamp          *Time
    10 deletionGracePeriodSeconds *int64
    11 labels                     map[]string
    12 annotations                map[]string
    13 ownerReferences            []OwnerReference merge=uid map=uid
    14 finalizers                 []string         merge set
    17 managedFields              []ManagedFieldsEntry
    """,
    OWNER_REFERENCE,
    MANAGED_FIELDS_ENTRY,
)
LABEL_SELECTOR_REQUIREMENT = message(
    _META + "LabelSelectorRequirement",
    """
    1 key      string                             always required
    2 operator string(v1.LabelSelectorOperator)   always required
    3 values   []string
    """,
)
LABEL_SELECTOR = message(
    _META + "LabelSelector",
    """
    1 matchLabels      map[]string
    2 matchExpressions []LabelSelectorRequirement
    """,
    LABEL_SELECTOR_REQUIREMENT,
    atomic=True,
)
FIELD_SELECTOR_REQUIREMENT = message(
    _META + "FieldSelectorRequirement",
    """
    1 key      string                             always required
    2 operator string(v1.FieldSelectorOperator)   always required
    3 values   []string
    """,
)
PRECONDITIONS = message(
    _META + "Preconditions",
    """
    1 uid             *string(types.UID)
    2 resourceVersion *string
    """,
)
DELETE_OPTIONS = message(
    _META + "DeleteOptions",
    """
    1 gracePeriodSeconds                               *int64
    2 preconditions                                    *Preconditions
    3 orphanDependents                                 *bool
    4 propagationPolicy                                *string(v1.DeletionPropagation)
    5 dryRun                                           []string
    6 ignoreStoreReadErrorWithClusterBreakingPotential *bool
    """,
    PRECONDITIONS,
    root=True,
)


def kind(ref: str, table: str, *used: Message, known: Mapping[str, Message] | None = None) -> Message:
    """The message of a kind: like `message`, with apiVersion, kind and metadata (always field 1) added."""
    return message(ref, "1 metadata ObjectMeta\n" + table.strip(), OBJECT_META, *used, root=True, known=known)
