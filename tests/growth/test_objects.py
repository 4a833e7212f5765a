"""Each type, each list, map and text of it: decoding, validation, ownership and patches of an object that grows there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import pytest

from tenantry.apiserver.decoding import normalise
from tenantry.kube.apply.managed_fields import record_update, same_but_for_times
from tenantry.kube.apply.server_side import apply
from tenantry.kube.codec import json_codec, stored
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.metadata_validation import finalizer_warnings, owner_warnings, validate_metadata
from tenantry.kube.objects import Object
from tenantry.kube.patch import json_patch, merge_patch, strategic_patch
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import FieldError, StatusError, invalid
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types import EXPORTED_TYPES, OFFERED_TYPES, SYSTEM_DEFINITIONS
from tests.growth.meter import assert_linear
from tests.growth.shapes import LEAVES, Leaf, Place, grown, object_with, places

NOW = "2024-01-01T00:00:00Z"
_EXPORTED = (each.define(identity="x", uid="x") for types in EXPORTED_TYPES.values() for each in types)
# Types with rules of their own, and each kind of list that the others have too.
_CHOSEN = frozenset(
    {"cronjobs", "endpointslices", "horizontalpodautoscalers", "ingresses", "networkpolicies", "pods", "services"}
)
_OFFERED = (each.define(identity="x", uid="x") for types in OFFERED_TYPES.values() for each in types if each.plural in _CHOSEN)
TYPES = {each.group_resource: each for each in (*BUILTINS, *SYSTEM_DEFINITIONS, *_EXPORTED, *_OFFERED)}


def of(definition: ResourceDefinition) -> list[tuple[Place, str]]:
    """Its places, each with every kind of text in it."""
    found = places(definition.versions[definition.storage_version].schema)
    if definition.group_resource.resource != "configmaps":
        # The metadata of all types is one.
        found = [place for place in found if place.path[0] != "metadata" and len(place.path) <= 4]
    out = []
    for place in found:
        # A text is a text wherever it lies; lists and maps are what is searched.
        kinds = ("wrong",) if place.schema.type == "string" else tuple(LEAVES)
        out += [(place, kind) for kind in kinds if place.schema.type != "string" or len(place.path) <= 2]
    return out


def errors_of(definition: ResourceDefinition, obj: Object, old: Object | None) -> list[FieldError]:
    errors = validate_metadata(obj, old, definition)
    shape = definition.versions[definition.storage_version]
    if shape.message is None:
        schema = shape.schema
        errors += validate(obj, schema) if old is None else validate(obj, schema, old=old)
    return errors + definition.strategy.validate(obj, old, "")


def taken_in(definition: ResourceDefinition, body: bytes) -> Object | None:
    """A body as a create takes it in: the answer is bounded, whatever is wrong with it. None where it is refused."""
    version = definition.storage_version
    try:
        obj, repeated = json_codec.decode(body, duplicates=True)
        unknown = normalise(definition, definition.versions[version], obj)
        assert len(unknown) <= 100 and len(repeated) <= 100
        record_update(obj, None, manager="m", api_version="v1", schema=definition.versions[version].schema, now=NOW)
        warnings = [*owner_warnings(obj), *finalizer_warnings(obj)]
        definition.strategy.prepare_for_create(obj)
        errors = errors_of(definition, obj, None)
        warnings += definition.strategy.warnings(obj, None)
        assert sum(map(len, warnings)) <= 2 * len(body) + 65536
        if errors:
            raise invalid(definition.group, definition.kind, "x", errors)
    except (StatusError, Mismatch) as refusal:
        answer = orjson.dumps(refusal.to_object()) if isinstance(refusal, StatusError) else refusal.text().encode()
        assert len(answer) <= 2 * len(body) + 65536
        assert answer.count(b'"reason"') <= 201
        return None
    for column in definition.versions[version].columns:
        column.cell(obj, datetime.now(UTC))
    return obj


def updated(definition: ResourceDefinition, body: bytes) -> None:
    """The object written again, changed at its end."""
    version = definition.storage_version
    schema = definition.versions[version].schema
    old, new = (orjson.loads(body) for _ in range(2))
    new["metadata"]["labels"] = {"changed": "yes"}
    try:
        for each in (old, new):
            normalise(definition, definition.versions[version], each)
        record_update(old, None, manager="m", api_version="v1", schema=schema, now=NOW)
        record_update(new, old, manager="other", api_version="v1", schema=schema, now=NOW)
        definition.strategy.prepare_for_update(new, old, "")
        errors_of(definition, new, old)
        same_but_for_times(new, old)
        stored.encode(new)
    except (StatusError, Mismatch):
        return


def patched(definition: ResourceDefinition, whole: Object, small: Object) -> None:
    """Each kind of patch, the small object onto the large one and the large one onto itself."""
    shape = definition.versions[definition.storage_version]
    schema = shape.schema
    patches: list[Callable[[], Any]] = [
        lambda: merge_patch.apply(whole, small),
        lambda: merge_patch.apply(whole, whole),
        lambda: json_patch.apply(whole, [{"op": "test", "path": "", "value": whole}]),
    ]
    if shape.message is not None:
        patches += [lambda: strategic_patch.apply(whole, small, schema), lambda: strategic_patch.apply(whole, whole, schema)]
    # What is stored of managedFields was written by the server.
    for config in () if "managedFields" in whole["metadata"] else (small, whole):
        said: dict[str, Any] = {"api_version": whole["apiVersion"], "schema": schema, "now": NOW}
        patches.append(partial(apply, whole, config, manager="m", force=False, **said))
    for patch in patches:
        try:
            patch()
        except StatusError as refusal:
            assert len(orjson.dumps(refusal.to_object())) <= 2 * len(orjson.dumps(whole)) + 65536


def all_of_it(definition: ResourceDefinition, place: Place, leaf: Leaf, n: int) -> Callable[[], object]:
    schema, version = place.schema, definition.storage_version
    whole = object_with(definition, version, place, grown(schema, n, leaf), leaf)
    small = object_with(definition, version, place, grown(schema, 1, leaf), leaf)
    body = orjson.dumps(whole)

    def work() -> None:
        taken_in(definition, body)
        updated(definition, body)
        patched(definition, whole, small)

    return work


@pytest.mark.parametrize("definition", TYPES.values(), ids=map(str, TYPES))
def test_an_object_costs_what_it_is(definition: ResourceDefinition) -> None:
    failures = []
    for place, kind in of(definition):
        try:
            assert_linear(partial(all_of_it, definition, place, LEAVES[kind]), small=32)
        except AssertionError as error:
            failures.append(f"{place.name} ({kind}): {error}")
    assert not failures
