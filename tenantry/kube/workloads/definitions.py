"""The definitions of workload types, from the facts and the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tenantry.kube.columns import AGE, NAME
from tenantry.kube.definition import Column, ResourceDefinition, ScalePaths, Version
from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object, group_version
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.workloads import autoscaler_v1
from tenantry.kube.workloads.default import fill_of
from tenantry.kube.workloads.facts import ColumnFacts, Resource, messages
from tenantry.kube.workloads.printing import CELLS
from tenantry.kube.workloads.printing.cells import Cell, spec_of, status_of
from tenantry.kube.workloads.rules import RULES
from tenantry.kube.workloads.strategy import OtherVersion, VersionedStrategy, WorkloadStrategy


def _selector(obj: Object) -> str:
    """The selector of a type with a scale. A ReplicationController has labels in its place."""
    selector = spec_of(obj).get("selector")
    labels = selector is None or all(type(value) is str for value in selector.values())
    return str(from_object({"matchLabels": selector} if labels else selector))


Conversion = Callable[[Object], Object]

_SCALE = ScalePaths(spec_replicas=".spec.replicas", status_replicas=".status.replicas", selector=_selector)
_DEPRECATED = {"Endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}
_DESCRIPTIONS = {"Name": NAME.description, "Age": AGE.description}


def define(resource: Resource, *, identity: str, uid: str) -> ResourceDefinition:
    """The definition of a resource, under the identity hash of its export and the uid of its APIResourceSchema. Its message is
    the same for all of them."""
    message = messages()[resource.message(resource.version)]
    columns = zip(resource.columns, CELLS[resource.kind], strict=True)
    version = Version(
        name=resource.version,
        schema=message.schema,
        message=message,
        columns=tuple(_column(facts, cell) for facts, cell in columns),
        subresources=frozenset(resource.subresources),
        scale=_SCALE if "scale" in resource.subresources else None,
        selectable=_SELECTABLE.get(resource.kind, {}),
        deprecation_warning=_DEPRECATED.get(resource.kind, ""),
    )
    others = {name: _other_version(resource, name, version) for name in resource.other_versions}
    forms = {
        group_version(resource.group, name): OtherVersion(_fill(shape.message), *_CONVERSIONS[resource.kind, name])
        for name, shape in others.items()
    }
    rules = RULES[resource.kind]
    return ResourceDefinition(
        group=resource.group,
        plural=resource.plural,
        singular=resource.singular,
        kind=resource.kind,
        list_kind=f"{resource.kind}List",
        namespaced=resource.namespaced,
        short_names=resource.short_names,
        categories=resource.categories,
        versions={resource.version: version, **others},
        storage_version=resource.version,
        strategy=VersionedStrategy(message, rules, forms) if forms else WorkloadStrategy(message, rules),
        identity=identity,
        uid=uid,
    )


_CONVERSIONS: Mapping[tuple[str, str], tuple[Conversion, Conversion]] = {
    ("HorizontalPodAutoscaler", "v1"): (autoscaler_v1.to_v2, autoscaler_v1.to_v1)
}
"""(kind, version) → how an object becomes one of the stored version, and back."""


def _other_version(resource: Resource, name: str, storage: Version) -> Version:
    """The definition of a version beside the stored one. Upstream prints objects of all versions alike."""
    to_storage, from_storage = _CONVERSIONS[resource.kind, name]
    fill, message = _fill(storage.message), messages()[resource.message(name)]

    def stored(obj: Object) -> Object:
        made = to_storage(obj)
        # Upstream adds these when it reads what is stored.
        fill(made)
        return made

    def column(of: Column) -> Column:
        return replace(of, cell=lambda obj, now: of.cell(to_storage(obj), now))

    return replace(
        storage,
        name=name,
        schema=message.schema,
        message=message,
        protobuf=message,
        columns=tuple(of if of.name in _DESCRIPTIONS else column(of) for of in storage.columns),
        from_storage=from_storage,
        to_storage=stored,
        memo={},
    )


def _fill(message: Message) -> Callable[[Object], None]:
    return fill_of(message) or (lambda obj: None)


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
