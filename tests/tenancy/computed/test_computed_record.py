"""The records of computed objects."""

from __future__ import annotations

import orjson

from tenantry.apiserver import records
from tenantry.placement.catalog import Entry
from tenantry.storage.keys import Key
from tenantry.storage.record import Record
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.types import SYSTEM_DEFINITIONS
from tests.virtual.apiresourceschema.town import schema

DEFINITION = next(definition for definition in SYSTEM_DEFINITIONS if definition.plural == "apiresourceschemas")


def shown(computed: ComputedRecord) -> object:
    key = Key("root", computed.resource, computed.namespace, computed.name)
    return records.decode(Record(key, computed.value, 7, computed.head), DEFINITION, "v1alpha1")


def test_a_copy_shares_its_bytes() -> None:
    obj = schema("v1.cowboys.wild.west")
    copy = Entry(orjson.dumps(obj), 5)
    computed = ComputedRecord.of_copy(DEFINITION, copy, 6)
    assert computed.value is copy.raw
    assert (computed.name, computed.revision, computed.head.labels) == ("v1.cowboys.wild.west", 6, {"plural": "cowboys"})
    assert shown(computed) == {
        "apiVersion": "apis.kcp.io/v1alpha1",
        "kind": "APIResourceSchema",
        **obj,
        "metadata": {**obj["metadata"], "resourceVersion": "7"},
    }


def test_a_copy_of_an_earlier_version_is_shown_alike() -> None:
    obj = schema("v1.cowboys.wild.west")
    earlier = Entry(orjson.dumps({"spec": obj["spec"], "metadata": obj["metadata"]}), 5)
    computed = ComputedRecord.of_copy(DEFINITION, earlier, 6)
    now = ComputedRecord.of_copy(DEFINITION, Entry(orjson.dumps(obj), 5), 6)
    assert computed == now
    assert shown(computed) == shown(now)
