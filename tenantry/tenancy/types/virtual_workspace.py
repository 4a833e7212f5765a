"""views.tenantry.dev VirtualWorkspace: a view of the consumers of an export that is declared and not programmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from tenantry.kube.definition import Strategy
from tenantry.kube.field_errors import invalid
from tenantry.kube.objects import Object
from tenantry.kube.schema import cel_expression
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.structural import Schema
from tenantry.kube.schema.validate import validate
from tenantry.kube.selectors import labels as label_selectors
from tenantry.kube.status import FieldError
from tenantry.tenancy.types.kcp_type import (
    AGE,
    CONDITIONS,
    LABEL_SELECTOR,
    KcpType,
    KcpVersion,
    array,
    keyed,
    rule,
    string,
    structure,
)
from tenantry.tenancy.types.strategy import TypeStrategy

GROUP = "views.tenantry.dev"
READ_VERBS = ("get", "list", "watch")
WRITE_VERBS = ("create", "update", "patch", "delete", "deletecollection")

FILTER_VARIABLES = ("object", "cluster", "user")
"""`object` as it is stored, `cluster.name`, and the caller: `user.name`, `user.groups`, `user.uid`."""
COUNT_VARIABLES = ("object", "cluster")
SHOW_VARIABLES = ("object", "cluster")
ACCESS_VARIABLES = ("user", "request")
"""`request.verb`, `.group`, `.resource`, `.subresource`, `.namespace`, `.name`, `.cluster` and `.path`."""

_FIXED = frozenset({"apiVersion", "kind", "metadata"})
_EXPRESSION_MAX = 2048
_AT_ONCE_CHARACTERS = 256
"""Expressions of so many characters together are checked on the event loop: some milliseconds."""
_RESOURCES_MAX = 16
_HIDDEN_MAX = 32
_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_GROUP_NAME = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$"
_KIND = r"^[A-Z][A-Za-z0-9]*$"
_FIELD_PATH = r"^[A-Za-z_][-A-Za-z0-9_]*(\.[A-Za-z_][-A-Za-z0-9_]*)*$"
_CEL = {"min_length": 1, "max_length": _EXPRESSION_MAX}

_SOURCE = {
    "group": string(default="", pattern=_GROUP_NAME, max_length=253, description="The API group, empty for the core one."),
    "resource": string(pattern=_NAME, max_length=63, description="The plural of the type."),
    "labelSelector": LABEL_SELECTOR | {"description": "Other objects do not exist in the view."},
    "filter": string(
        **_CEL, description="CEL over `object`, `cluster` and `user`. Objects for which it is not true do not exist in the view."
    ),
}

_RESOURCE = structure(
    {
        **_SOURCE,
        "version": string(
            max_length=63,
            description="The only version that the view serves. By default all, or with an expression the storage version.",
        ),
        "verbs": array(string(enum=[*READ_VERBS, *WRITE_VERBS]), min_items=1, max_items=8, default=list(READ_VERBS))
        | {"x-kubernetes-list-type": "set"},
        "show": string(**_CEL, description="CEL over `object` and `cluster` that makes the shown object, without its metadata."),
        "hiddenFields": array(
            string(pattern=_FIELD_PATH, max_length=253),
            max_items=_HIDDEN_MAX,
            description="Fields that are not shown: names with dots between them, also of the items of lists.",
        )
        | {"x-kubernetes-list-type": "set"},
    },
    "resource",
    rules=(
        rule("!(has(self.show) && has(self.hiddenFields))", "show and hiddenFields are exclusive"),
        rule(
            "!has(self.show) || self.verbs.all(v, v in ['get', 'list', 'watch'])",
            "what `show` makes cannot be turned back into an object, so verbs may be get, list and watch: to let users write, "
            "leave fields out with hiddenFields and not with show",
        ),
    ),
)

_COUNT = structure(
    {
        "group": string(pattern=_GROUP_NAME, min_length=1, max_length=253, description="The API group of the counts."),
        "resource": string(pattern=_NAME, max_length=63, description="The plural of the type of the counts."),
        "kind": string(pattern=_KIND, max_length=63),
        "of": structure(_SOURCE, "resource", description="What is counted. Its filter may not use `user`."),
    },
    "group",
    "resource",
    "kind",
    "of",
    description="A type with one object for each consumer: how many objects it has.",
)

_SPEC = structure(
    {
        "export": structure(
            {"name": string(min_length=1, max_length=253)},
            "name",
            description="The APIExport of the same workspace whose consumers are shown.",
        ),
        "access": structure(
            {
                "expression": string(
                    **_CEL,
                    description="CEL over `user` and `request`: who may use the view. By default those who have the verb "
                    "on virtualworkspaces/content in this workspace.",
                )
            },
            "expression",
        ),
        "resources": keyed(_RESOURCE, "group", "resource", max_items=_RESOURCES_MAX),
        "counts": keyed(_COUNT, "group", "resource", max_items=_RESOURCES_MAX),
    },
    "export",
)

Found = tuple[str, str, tuple[str, ...], Sequence[str]]
"""An expression: its field, text and variables, and the types that its result may have."""


def _entries(spec: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries of a list with their fields, as far as they can be read. The schema refuses what is skipped."""
    listed = spec.get(name)
    for place, entry in enumerate(listed[:_RESOURCES_MAX] if isinstance(listed, list) else ()):
        if isinstance(entry, dict):
            yield f"spec.{name}[{place}]", entry


def _sources(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], tuple[str, ...]]]:
    """What chooses objects: its field, itself, and the variables of its filter."""
    for field, entry in _entries(spec, "resources"):
        yield field, entry, FILTER_VARIABLES
    for field, entry in _entries(spec, "counts"):
        if isinstance(entry.get("of"), dict):
            yield f"{field}.of", entry["of"], COUNT_VARIABLES


def _expressions(spec: Mapping[str, Any]) -> Iterator[Found]:
    """The expressions that are texts of an allowed length."""
    for found in _texts(spec):
        if isinstance(found[1], str) and 0 < len(found[1]) <= _EXPRESSION_MAX:
            yield found


def _texts(spec: Mapping[str, Any]) -> Iterator[Found]:
    access = spec.get("access")
    if isinstance(access, dict):
        yield "spec.access.expression", access.get("expression", ""), ACCESS_VARIABLES, ("BOOL",)
    for field, source, variables in _sources(spec):
        yield f"{field}.filter", source.get("filter", ""), variables, ("BOOL",)
    for field, entry in _entries(spec, "resources"):
        yield f"{field}.show", entry.get("show", ""), SHOW_VARIABLES, ("MAP",)


def _expression_errors(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for field, text, variables, results in _expressions(spec):
        problem = cel_expression.problem_of(text, variables, results)
        if problem:
            yield invalid(field, text, problem)


@cache
def _selector_schema() -> Schema:
    return from_openapi(LABEL_SELECTOR)


def _selector_errors(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for field, source, _ in _sources(spec):
        selector = source.get("labelSelector")
        if isinstance(selector, dict) and not validate(selector, _selector_schema()):
            try:
                label_selectors.from_object(selector)
            except ValueError as error:
                yield invalid(f"{field}.labelSelector", selector, str(error))


def _hidden_field_errors(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for field, entry in _entries(spec, "resources"):
        hidden = entry.get("hiddenFields")
        for index, path in enumerate(hidden[:_HIDDEN_MAX] if isinstance(hidden, list) else ()):
            if isinstance(path, str) and path.partition(".")[0] in _FIXED:
                text = "may not be of the metadata, whose annotations are hidden with any field"
                yield invalid(f"{field}.hiddenFields[{index}]", path, text)


class VirtualWorkspaceStrategy(TypeStrategy):
    """Compiles the expressions and selectors, and takes the status away when `spec.export` changes: its URLs are those of ranges
    with consumers of the former export. It is asked about objects of any shape: the schema refuses some at the same time."""

    may_take_long = True

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        super().prepare_for_update(obj, old, subresource)
        spec = _changed_spec(obj, old)
        if not subresource and spec is not None and spec.get("export") != (old.get("spec") or {}).get("export"):
            obj.pop("status", None)

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        spec = _changed_spec(obj, old)
        return spec is not None and sum(len(text) for _, text, _, _ in _expressions(spec)) > _AT_ONCE_CHARACTERS

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        errors = super().validate(obj, old, subresource)
        spec = _changed_spec(obj, old)
        if spec is None:
            return errors
        return [*errors, *_expression_errors(spec), *_selector_errors(spec), *_hidden_field_errors(spec)]


def _changed_spec(obj: Object, old: Object | None) -> Object | None:
    """The spec if it has changed and can be read."""
    spec = obj.get("spec")
    return spec if isinstance(spec, dict) and (old is None or old.get("spec") != spec) else None


_STRATEGY: Callable[[Strategy], Strategy] = VirtualWorkspaceStrategy

VIRTUAL_WORKSPACE = KcpType(
    group=GROUP,
    plural="virtualworkspaces",
    singular="virtualworkspace",
    kind="VirtualWorkspace",
    categories=("tenantry",),
    strategy=_STRATEGY,
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="VirtualWorkspace declares a view of the consumers of an APIExport.",
            spec=_SPEC,
            required=("spec",),
            status=structure(
                {
                    "conditions": CONDITIONS,
                    "endpoints": keyed(structure({"url": string(min_length=1, format="URL")}, "url"), "url"),
                }
            ),
            columns=(
                ("Export", "string", ".spec.export.name"),
                ("Valid", "string", '.status.conditions[?(@.type=="Valid")].status'),
                AGE,
            ),
        ),
    ),
)
