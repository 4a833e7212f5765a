"""Definitions and schemas for tests, in a few words."""

from __future__ import annotations

from typing import Any

from tenantry.kube.api_set import ApiSet
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS
from tenantry.kube.types.custom_resource_definition import DEFINITION

S: Object = {"type": "string"}
I: Object = {"type": "integer"}  # noqa: E741
N: Object = {"type": "number"}
B: Object = {"type": "boolean"}
KEEP: Object = {"x-kubernetes-preserve-unknown-fields": True}


def obj_schema(*required: str, **properties: Any) -> Object:
    schema: Object = {"type": "object", "properties": properties}
    return schema | {"required": list(required)} if required else schema


def version(schema: Object, name: str = "v1", **fields: Any) -> Object:
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **fields}


def crd(*versions: Object, group: str = "g.example", plural: str = "things", kind: str = "Thing", **spec: Any) -> Object:
    names = {"plural": plural, "kind": kind} | spec.pop("names", {})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": list(versions), **spec},
    }


def created(definition: Object) -> Object:
    """The definition as a create leaves it; fails where validation would refuse it."""
    strategy = DEFINITION.strategy
    strategy.default(definition)
    strategy.prepare_for_create(definition)
    errors = strategy.validate(definition, None, "")
    assert not errors, errors
    return definition


def define(*versions: Object, **more: Any) -> ResourceDefinition:
    return definition_from_crd(created(crd(*versions, **more)))


_SUBRESOURCES = {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}}
_SCHEMA = obj_schema(
    spec=obj_schema("a", a=S | {"default": "x"}, n=I, q={"x-kubernetes-int-or-string": True}), status=obj_schema(n=I)
)
THINGS = define(
    version(_SCHEMA | {"description": "Thing is a thing."}, subresources=_SUBRESOURCES),
    version(_SCHEMA, "v1beta1", storage=False),
)
CLUSTER_THINGS = define(version(obj_schema(a=S)), plural="cthings", kind="CThing", scope="Cluster")
APIS = ApiSet([*BUILTINS, THINGS, CLUSTER_THINGS])
"""All built-in types, and two custom ones."""
