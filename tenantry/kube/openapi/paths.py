"""The paths of a type in OpenAPI v3 documents, with what clients read from them: actions, kinds, media types of patches,
parameters."""

from __future__ import annotations

from operator import itemgetter

from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.openapi.components import DELETE_OPTIONS_SCHEMA, PATCH, SCALE, STATUS, V3, reference
from tenantry.kube.schema.structural import Schema

_JSON, _YAML = "application/json", "application/yaml"
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_ANY = "*/*"
_WATCH = ";stream=watch"
_ORDER = ("get", "put", "post", "delete", "patch", "parameters")
"""The order of operations in a path item."""
_ANSWERS = {
    "post": ("200", "201", "202"),
    "put": ("200", "201"),
    "delete": ("200", "202"),
}
"""The codes of answers by action; of all others 200 alone."""
_DESCRIPTIONS = {"200": "OK", "201": "Created", "202": "Accepted"}
_CUSTOM_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
_PATCHES = (*_CUSTOM_PATCHES, "application/strategic-merge-patch+json")


def _query(name: str, kind: str, description: str) -> Object:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": True}}


_PRETTY = _query("pretty", "string", "If 'true', then the output is pretty printed.")
_DRY_RUN = _query("dryRun", "string", "'All': all stages of the request are processed, nothing is stored.")
_FIELD_MANAGER = _query("fieldManager", "string", "The name of the actor that makes the change, for field ownership.")
_FIELD_VALIDATION = _query("fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict.")
_FORCE = _query("force", "boolean", "Take ownership of conflicting fields, in an apply request.")
_RESOURCE_VERSION = _query("resourceVersion", "string", "From which version on to serve the request.")
_SELECTION = [
    _query("allowWatchBookmarks", "boolean", "Ask for events of type BOOKMARK in a watch."),
    _query("continue", "string", "The token of the next page, from an earlier list."),
    _query("fieldSelector", "string", "Restricts the objects by their fields."),
    _query("labelSelector", "string", "Restricts the objects by their labels."),
    _query("limit", "integer", "The largest number of objects to return."),
    _RESOURCE_VERSION,
    _query("resourceVersionMatch", "string", "How resourceVersion is applied to a list."),
    _query("sendInitialEvents", "boolean", "Begin a watch with events for the objects that exist."),
    _query("timeoutSeconds", "integer", "How long a list or a watch may take."),
    _query("watch", "boolean", "Watch for changes instead of listing."),
]
_DELETION = [
    _DRY_RUN,
    _query("gracePeriodSeconds", "integer", "The seconds before the object is deleted."),
    _query(
        "ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Deletes only what cannot be read; refused for the rest."
    ),
    _query("orphanDependents", "boolean", "Whether dependents are orphaned; superseded by propagationPolicy."),
    _query("propagationPolicy", "string", "Whether and how dependents are deleted: Orphan, Background or Foreground."),
]
_DELETING_MANY = sorted(
    (each for each in (*_DELETION, *_SELECTION) if each["name"] not in ("allowWatchBookmarks", "watch")), key=itemgetter("name")
)
_WRITING = [_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION]
_NAME: Object = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
_NAMESPACE: Object = {**_NAME, "name": "namespace"}
PARAMETERS = (_PRETTY, *_SELECTION, *_DELETION, _FIELD_MANAGER, _FIELD_VALIDATION, _FORCE, _NAME, _NAMESPACE)
"""All parameters of operations; their names are different."""


def paths(definition: ResourceDefinition, version: Version, component: str) -> dict[str, Object]:
    """The path items of a version; `component` names its schema."""
    return _Paths(definition, version, component).all()


class _Paths:
    def __init__(self, definition: ResourceDefinition, version: Version, component: str) -> None:
        self._definition = definition
        self._version = version
        self._own = Schema(ref=component)
        self._list = Schema(ref=f"{component.removesuffix(definition.kind)}{definition.list_kind}")
        words = group_words(definition.group)
        self._place = f"{words}{_title(version.name)}"
        self._tag = f"{words[:1].lower()}{words[1:]}_{version.name}"
        self._scope = "Namespaced" if definition.namespaced else ""
        self._bodies = (_JSON, _YAML) if definition.custom else (_ANY,)
        self._media_types: tuple[str, ...] = (_JSON, _YAML) if version.protobuf is None else (_JSON, _YAML, _PROTOBUF)

    def all(self) -> dict[str, Object]:
        definition, version = self._definition, self._version
        root = f"/apis/{definition.group}/{version.name}" if definition.group else f"/api/{version.name}"
        collection = (
            f"{root}/namespaces/{{namespace}}/{definition.plural}" if definition.namespaced else f"{root}/{definition.plural}"
        )
        shared = [_NAMESPACE] if definition.namespaced else []
        found = {collection: self._collection(shared)}
        if {"get", "update", "patch", "delete"} & set(definition.verbs):
            item = f"{collection}/{{name}}"
            found[item] = self._item([_NAME, *shared])
            for name in sorted(version.subresources):
                if version.verbs_of(name):
                    found[f"{item}/{name}"] = self._subresource(name, [_NAME, *shared])
        if definition.namespaced and "list" in definition.verbs:
            everywhere = self._operation(
                "get", "list", self._list, f"list{self._place}{definition.kind}ForAllNamespaces", _SELECTION
            )
            found[f"{root}/{definition.plural}"] = {"get": everywhere, "parameters": [_PRETTY]}
        return {path: {key: item[key] for key in _ORDER if key in item} for path, item in found.items()}

    def _collection(self, parameters: list[Object]) -> Object:
        verbs, kind = self._definition.verbs, f"{self._scope}{self._definition.kind}"
        item: Object = {"parameters": [*parameters, _PRETTY]}
        if "list" in verbs:
            item["get"] = self._operation("get", "list", self._list, f"list{self._place}{kind}", _SELECTION)
        if "create" in verbs:
            item["post"] = self._operation("post", "post", self._own, f"create{self._place}{kind}", _WRITING, body=self._own)
        if "deletecollection" in verbs:
            identity = f"delete{self._place}Collection{kind}"
            custom = self._definition.custom
            options, body = (_SELECTION, None) if custom else (_DELETING_MANY, DELETE_OPTIONS_SCHEMA)
            item["delete"] = self._operation("delete", "deletecollection", STATUS, identity, options, body=body)
        return item

    def _item(self, parameters: list[Object]) -> Object:
        verbs = self._definition.verbs
        item: Object = {"parameters": [*parameters, _PRETTY]}
        self._read_write(item, self._own, "", [v for v in ("get", "update", "patch") if v in verbs])
        if "delete" in verbs:
            identity = f"delete{self._place}{self._scope}{self._definition.kind}"
            item["delete"] = self._operation("delete", "delete", STATUS, identity, _DELETION, body=DELETE_OPTIONS_SCHEMA)
        return item

    def _subresource(self, name: str, parameters: list[Object]) -> Object:
        item: Object = {"parameters": [*parameters, _PRETTY]}
        shape = SCALE if name == "scale" else self._own
        suffix = _title(name)
        if name == "token":
            identity = f"create{self._place}{self._scope}{self._definition.kind}{suffix}"
            item["post"] = self._operation("post", "post", self._own, identity, _WRITING, body=self._own)
        else:
            self._read_write(item, shape, suffix, list(self._version.verbs_of(name)))
        return item

    def _read_write(self, item: Object, shape: Schema, suffix: str, verbs: list[str]) -> None:
        kind = f"{self._place}{self._scope}{self._definition.kind}{suffix}"
        if "get" in verbs:
            item["get"] = self._operation(
                "get", "get", shape, f"read{kind}", [_RESOURCE_VERSION] if self._definition.custom else []
            )
        if "update" in verbs:
            item["put"] = self._operation("put", "put", shape, f"replace{kind}", _WRITING, body=shape)
        if "patch" in verbs:
            patch = self._operation("patch", "patch", shape, f"patch{kind}", [*_WRITING, _FORCE])
            media_types = _CUSTOM_PATCHES if self._definition.custom else _PATCHES
            content = {media_type: {"schema": reference(PATCH, V3)} for media_type in media_types}
            patch["requestBody"] = {"required": True, "content": content}
            item["patch"] = patch

    def _operation(
        self, method: str, action: str, answer: Schema, identity: str, parameters: list[Object], *, body: Schema | None = None
    ) -> Object:
        media_types = self._media_types
        if action == "list" and not self._definition.custom:
            media_types += tuple(media_type + _WATCH for media_type in media_types if media_type != _YAML)
        content = {media_type: {"schema": reference(answer, V3)} for media_type in media_types}
        codes = _ANSWERS.get(action, ("200", "201") if action == "patch" and not self._definition.custom else ("200",))
        responses: Object = {code: {"description": _DESCRIPTIONS[code], "content": content} for code in codes}
        responses["401"] = {"description": "Unauthorized"}
        operation: Object = {
            "tags": [self._tag],
            "operationId": identity,
            "parameters": parameters,
            "responses": responses,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": self._definition.group,
                "version": self._version.name,
                "kind": self._definition.kind,
            },
        }
        if not parameters:
            del operation["parameters"]
        if body is not None:
            operation["requestBody"] = {"content": {media_type: {"schema": reference(body, V3)} for media_type in self._bodies}}
            if method != "delete":
                operation["requestBody"]["required"] = True
        return operation


def group_words(group: str) -> str:
    """A group in operation identifiers: `rbac.authorization.k8s.io` → RbacAuthorization (upstream)."""
    return "".join(_title(part) for part in group.removesuffix(".k8s.io").split(".")) if group else "Core"


def _title(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.split("-"))
