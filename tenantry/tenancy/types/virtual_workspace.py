"""views.tenantry.dev VirtualWorkspace: a view of the consumers of an export that is declared and not programmed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tenantry.kube.definition import Strategy
from tenantry.kube.field_errors import invalid
from tenantry.kube.objects import Object
from tenantry.kube.schema import cel_expression
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
_EXPRESSION_MAX = 4096
_RESOURCES_MAX = 16
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
            max_items=32,
            description="Fields that are not shown: names with dots between them, also of the items of lists.",
        )
        | {"x-kubernetes-list-type": "set"},
    },
    "resource",
    rules=(
        rule("!(has(self.show) && has(self.hiddenFields))", "show and hiddenFields are exclusive"),
        rule(
            "!(has(self.show) || has(self.hiddenFields)) || self.verbs.all(v, v in ['get', 'list', 'watch'])",
            "objects of which a part is shown can be read only: verbs may be get, list and watch",
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

_Expressions = Iterable[tuple[str, str, tuple[str, ...], Sequence[str]]]


def _expressions(spec: Mapping[str, Any]) -> _Expressions:
    """(field, text, variables, types of the result) of every expression."""
    access = spec.get("access")
    if access:
        yield "spec.access.expression", access["expression"], ACCESS_VARIABLES, ("BOOL",)
    for place, entry in enumerate(spec.get("resources") or ()):
        if "filter" in entry:
            yield f"spec.resources[{place}].filter", entry["filter"], FILTER_VARIABLES, ("BOOL",)
        if "show" in entry:
            yield f"spec.resources[{place}].show", entry["show"], SHOW_VARIABLES, ("MAP",)
    for place, entry in enumerate(spec.get("counts") or ()):
        if "filter" in entry["of"]:
            yield f"spec.counts[{place}].of.filter", entry["of"]["filter"], COUNT_VARIABLES, ("BOOL",)


class VirtualWorkspaceStrategy(TypeStrategy):
    """Compiles the expressions and selectors."""

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        errors = super().validate(obj, old, subresource)
        spec = obj.get("spec") or {}
        if errors or (old is not None and old.get("spec") == spec):
            return errors
        for field, text, variables, results in _expressions(spec):
            problem = cel_expression.problem_of(text, variables, results)
            if problem:
                errors.append(invalid(field, text, problem))
        for place, entry in enumerate(spec.get("resources") or ()):
            for index, path in enumerate(entry.get("hiddenFields") or ()):
                if path.partition(".")[0] in _FIXED:
                    field = f"spec.resources[{place}].hiddenFields[{index}]"
                    errors.append(invalid(field, path, "may not be of the metadata, whose annotations are hidden with any field"))
        sources = [(f"spec.resources[{place}]", entry) for place, entry in enumerate(spec.get("resources") or ())]
        sources += [(f"spec.counts[{place}].of", entry["of"]) for place, entry in enumerate(spec.get("counts") or ())]
        for field, source in sources:
            try:
                label_selectors.from_object(source.get("labelSelector") or {})
            except ValueError as error:
                errors.append(invalid(f"{field}.labelSelector", source["labelSelector"], str(error)))
        return errors


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
