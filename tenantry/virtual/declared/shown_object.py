"""What an object looks like in a declared view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tenantry.kube.apply.last_applied import ANNOTATION as LAST_APPLIED
from tenantry.kube.objects import Object, annotations_of, cluster_of
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_expression import RUN_LIMIT, Expression, to_json
from tenantry.kube.schema.cel_values import Cost, CostExceeded
from tenantry.virtual.declared.evaluation import FAULTS, Spending
from tenantry.virtual.declared.hidden.paths import Paths, remove

PROBLEM_ANNOTATION = "views.tenantry.dev/problem"
"""On an object whose `show` failed: why. It is shown without content."""
CLUSTER_ANNOTATION = "kcp.io/cluster"
_SHOWN_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
)
_FAILED = "`show` of the view fails on this object"
_TOO_COSTLY = "`show` of the view costs too much on this object"
_NO_OBJECT = "`show` of the view makes no object of this object"


@dataclass(frozen=True, slots=True)
class ShownAs:
    """Shows what an expression makes of an object. Equal values show the same: `text` is the expression's.

    The metadata is not the expression's: it may only add annotations. An annotation of the object may have all its content
    (`kubectl apply` writes one), so none is shown.
    """

    text: str
    expression: Expression = field(compare=False)
    spending: Spending = field(compare=False)

    def __call__(self, obj: Object) -> Object:
        """Never fails, except that it raises StatusError 413 where a request costs too much."""
        cluster = cluster_of(obj)
        cost = Cost(RUN_LIMIT)
        problem, made = "", {}
        try:
            made = to_json(cost, self.expression.run((obj, {"name": cluster}), cost))
        except CelError:
            # Its text may have values of the object, which the view hides.
            problem = _FAILED
        except CostExceeded:
            problem = _TOO_COSTLY
        finally:
            self.spending.take(cost)
        if not isinstance(made, dict):
            problem, made = _NO_OBJECT, {}
        if problem:
            FAULTS.labels("show").inc()
        annotations = {**_annotations(made), CLUSTER_ANNOTATION: cluster}
        if problem:
            annotations[PROBLEM_ANNOTATION] = problem
        metadata = {name: value for name in _SHOWN_METADATA if (value := obj["metadata"].get(name)) is not None}
        shown: Object = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "metadata": {**metadata, "annotations": annotations},
        }
        shown.update((name, value) for name, value in made.items() if name not in shown)
        return shown


def _annotations(made: Mapping[str, Any]) -> dict[str, str]:
    metadata = made.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


@dataclass(frozen=True, slots=True)
class FieldsHidden:
    """Shows an object without some fields, and without the annotations and managed fields that may tell of them. `applied`: the
    annotation that is shown as kubectl's last applied configuration, if there is one (`hidden.translation`)."""

    in_threads: ClassVar = True

    hidden: Paths
    applied: str = ""

    def __call__(self, obj: Object) -> Object:
        remove(obj, self.hidden)
        metadata = obj["metadata"]
        metadata.pop("managedFields", None)
        annotations = annotations_of(obj)
        shown = {key: annotations[key] for key in (CLUSTER_ANNOTATION,) if key in annotations}
        if self.applied and self.applied in annotations:
            shown[LAST_APPLIED] = annotations[self.applied]
        metadata["annotations"] = shown
        return obj
