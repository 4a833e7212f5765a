"""Targets: definitions of custom types and their objects, and the files that configure a server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.body_decoding import parse_at_once
from tenantry.apiserver.decoding import normalise
from tenantry.apiserver.negotiation import JSON
from tenantry.apiserver.user import User
from tenantry.kube.apply import server_side
from tenantry.kube.apply.typed import compile_schema
from tenantry.kube.audit import policy as audit_policy
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.objects import Object
from tenantry.kube.openapi.fragment import fragment
from tenantry.kube.schema.default import default
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.validate import validate
from tenantry.kube.server_configuration import authentication, authentication_validation, authorization, authorization_validation
from tenantry.kube.server_configuration.decoding import ConfigurationError
from tenantry.kube.status import FieldError, StatusError
from tenantry.kube.types import custom_resource_definition
from tests.fuzz.decoders import TESTS
from tests.fuzz.targets import Target
from tests.kube.apply.samples import THING_SPEC
from tests.kube.definitions import crd, obj_schema, version

_EVERY = 3
_AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [a], verbs: [get], nonResourceURLs: [/healthz*]}
- {level: RequestResponse, resources: [{group: "", resources: [pods/*, "*/status"], resourceNames: [x]}], namespaces: [n]}
- {level: Metadata, userGroups: [g], omitManagedFields: true}
"""


def definitions() -> Iterator[bytes]:
    """Pairs of a definition's version, and an object of it."""
    rule = {"rule": "self.a.size() < 5 || oldSelf.a == self.a", "messageExpression": "'a' + self.a"}
    spec = obj_schema(
        a={"type": "string", "pattern": "^a.*$", "default": "a", "maxLength": 9, "enum": ["a", "ab"]},
        n={"type": "number", "multipleOf": 0.5, "minimum": 0, "exclusiveMinimum": True, "nullable": True},
        e={"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        q={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        t={"type": "string", "format": "date-time"},
    )
    spec["x-kubernetes-validations"] = [rule]
    column = {"name": "A", "type": "string", "jsonPath": ".spec.a", "priority": 1}
    more: dict[str, Any] = {
        "additionalPrinterColumns": [column],
        "selectableFields": [{"jsonPath": ".spec.a"}],
        "subresources": {"status": {}},
    }
    obj = {"spec": {"a": "ab", "n": 1.5, "e": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}}, "q": 1}}
    yield orjson.dumps([version(obj_schema(spec=spec), **more), obj])
    sample = {"map": [{"k": "a", "n": 1}], "set": ["a", "b"], "ports": [{"port": 1}], "granular": {"a": "b"}, "any": {"x": [1]}}
    yield orjson.dumps([version(obj_schema(spec=obj_schema(**THING_SPEC))), {"spec": sample}])
    for case in json.loads((TESTS / "cases" / "cel" / "definitions.json").read_text())[::_EVERY]:
        made = orjson.dumps([version(case["schema"]), {"spec": {}}])
        if len(made) < 8192:
            yield made


def define(data: bytes) -> None:
    """A definition is refused, or what it defines works: objects are pruned, filled in and validated, once for all."""
    try:
        pair = parse_at_once(data, JSON, "", False)[0]
    except StatusError:
        return
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], dict):
        return
    strategy, definition = custom_resource_definition.DEFINITION.strategy, custom_resource_definition.DEFINITION
    made = crd(pair[0])
    try:
        normalise(definition, definition.versions[definition.storage_version], made)
    except (Mismatch, StatusError):
        return
    strategy.prepare_for_create(made)
    errors = strategy.validate(made, None, "")
    _texts(errors)
    strategy.warnings(made, None)
    orjson.dumps(made)
    if errors:
        return
    custom = definition_from_crd(made)
    shape = next(iter(custom.versions.values()))
    fragment(custom, shape)
    compile_schema(shape.schema)
    obj = pair[1]
    if isinstance(obj, dict):
        use(custom, shape, {**obj, "apiVersion": custom.api_version(shape.name), "kind": custom.kind})


def use(custom: ResourceDefinition, shape: Version, obj: Object) -> None:
    try:
        normalise(custom, shape, obj)
    except (Mismatch, StatusError):
        return
    once = deepcopy(obj)
    prune(obj, shape.schema)
    default(obj, shape.schema)
    assert obj == once, "pruned and filled in twice is as once"
    _texts(validate(obj, shape.schema))
    _texts(validate(obj, shape.schema, old=once, warnings=[]))
    for column in shape.columns:
        orjson.dumps(column.cell(obj, datetime(2024, 1, 1, tzinfo=UTC)))
    for select in shape.selectable.values():
        select(obj)
    apply = partial(
        server_side.apply, manager="m", force=False, api_version=custom.api_version(shape.name), schema=shape.schema, now=_NOW
    )
    try:
        merged = apply(None, deepcopy(obj))
    except StatusError:
        return
    assert apply(merged, deepcopy(obj)) == merged, "applied twice is as once"


def _texts(errors: Iterable[FieldError]) -> None:
    for error in errors:
        error.text.encode(errors="surrogatepass")


def files() -> Iterator[bytes]:
    refused = json.loads((TESTS / "cases" / "configuration" / "refused.json").read_text())
    for kind in ("authentication", "authorization"):
        yield from (case["file"].encode() for case in refused[kind][:: 2 * _EVERY] if len(case["file"]) < 2048)
    yield _AUDIT.encode()


def read_file(data: bytes) -> None:
    """What is wrong with a file is told."""
    try:
        _texts(authentication_validation.validate(authentication.read(data), ()))
    except ConfigurationError as error:
        str(error).encode(errors="surrogatepass")
    try:
        configuration = authorization.read(data)
        _texts(authorization_validation.validate(configuration, lambda path: ""))
        authorization_validation.check_names(configuration)
    except ConfigurationError as error:
        str(error).encode(errors="surrogatepass")
    try:
        found = audit_policy.load(data)
    except audit_policy.PolicyError as error:
        str(error).encode(errors="surrogatepass")
        return
    for verb, resource in (("get", "pods"), ("create", "configmaps"), ("list", "")):
        found.recorded(_USER, Attributes(_USER, verb, "c", resource=resource, namespace="n", name="x"))


_USER = User("a", ("g",))
_NOW = "2024-01-01T00:00:00Z"
_WORDS = ("x-kubernetes-", "additionalProperties", "anyOf", "default", "nullable", "$ref", "format", "pattern", "self.")
TARGETS = (
    Target(name="definitions", run=define, seeds=definitions, json_at=0, words=_WORDS),
    Target(
        name="files", run=read_file, seeds=files, words=("claims.", "expression: ", "jwt:", "authorizers:", "rules:", "level: ")
    ),
)
