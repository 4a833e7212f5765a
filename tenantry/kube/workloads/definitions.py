"""The definitions of workload types, from the facts and the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tenantry.kube.columns import AGE, NAME
from tenantry.kube.definition import Column, ResourceDefinition, ScalePaths, Version
from tenantry.kube.objects import Object
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.workloads.facts import ColumnFacts, Resource, messages
from tenantry.kube.workloads.printing import CELLS
from tenantry.kube.workloads.printing.cells import Cell, spec_of, status_of
from tenantry.kube.workloads.rules import RULES
from tenantry.kube.workloads.strategy import WorkloadStrategy


def _selector(obj: Object) -> str:
    """The selector of a type with a scale. A ReplicationController has labels in its place."""
    selector = spec_of(obj).get("selector")
    labels = selector is None or all(type(value) is str for value in selector.values())
    return str(from_object({"matchLabels": selector} if labels else selector))


_SCALE = ScalePaths(spec_replicas=".spec.replicas", status_replicas=".status.replicas", selector=_selector)
_DESCRIPTIONS = {"Name": NAME.description, "Age": AGE.description}


def define(resource: Resource, *, identity: str, uid: str) -> ResourceDefinition:
    """The definition of a resource, under the identity hash of its export and the uid of its APIResourceSchema. Its message is
    the same for all of them."""
    message = messages()[resource.message]
    columns = zip(resource.columns, CELLS[resource.kind], strict=True)
    version = Version(
        name=resource.version,
        schema=message.schema,
        message=message,
        columns=tuple(_column(facts, cell) for facts, cell in columns),
        subresources=frozenset(resource.subresources),
        scale=_SCALE if "scale" in resource.subresources else None,
        selectable=_SELECTABLE.get(resource.kind, {}),
    )
    return ResourceDefinition(
        group=resource.group,
        plural=resource.plural,
        singular=resource.singular,
        kind=resource.kind,
        list_kind=f"{resource.kind}List",
        namespaced=resource.namespaced,
        short_names=resource.short_names,
        categories=resource.categories,
        versions={resource.version: version},
        storage_version=resource.version,
        strategy=WorkloadStrategy(message, RULES[resource.kind]),
        identity=identity,
        uid=uid,
    )


def _column(facts: ColumnFacts, cell: Cell) -> Column:
    return Column(
        name=facts.name,
        type=facts.type,
        format=facts.format,
        description=_DESCRIPTIONS.get(facts.name, ""),
        priority=facts.priority,
        cell=cell,
    )


def _text(part: Callable[[Object], Object], name: str, obj: Object) -> str:
    value: Any = part(obj).get(name, "")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


_spec, _status = partial(partial, _text, spec_of), partial(partial, _text, status_of)


def _flag(obj: Object, name: str) -> str:
    return str(bool(spec_of(obj).get(name))).lower()


def _number(obj: Object, name: str) -> str:
    return str(status_of(obj).get(name, 0))


_SELECTABLE: Mapping[str, Mapping[str, Callable[[Object], str]]] = {
    "Job": {"status.successful": lambda obj: _number(obj, "succeeded")},
    "Node": {"spec.unschedulable": lambda obj: _flag(obj, "unschedulable")},
    "Pod": {
        "spec.hostNetwork": lambda obj: _flag(obj, "hostNetwork"),
        **{f"spec.{name}": _spec(name) for name in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName")},
        **{f"status.{name}": _status(name) for name in ("phase", "podIP", "nominatedNodeName")},
        # Upstream takes the selector, and no Pod has a value for it.
        "status.podIPs": lambda obj: "",
    },
    "ReplicationController": {"status.replicas": lambda obj: _number(obj, "replicas")},
    "Service": {"spec.clusterIP": _spec("clusterIP"), "spec.type": _spec("type")},
}
"""Kind → its field selectors (AddFieldLabelConversionFunc in Kubernetes)."""
