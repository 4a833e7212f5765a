"""Targets: what turns bytes and texts into values."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from tenantry.apiserver.body_decoding import parse_at_once
from tenantry.apiserver.negotiation import JSON, YAML
from tenantry.apiserver.verbs import continue_token
from tenantry.http.websocket_frames import ClientFrames
from tenantry.kube import quantity
from tenantry.kube.apply import field_set, managers
from tenantry.kube.codec import protobuf, protobuf_encoding
from tenantry.kube.codec.protobuf_messages import message_of
from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.go_times import canonical_micro_time, canonical_time
from tenantry.kube.message_tables import OBJECT_META
from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.formats import find
from tenantry.kube.selectors import fields, labels
from tenantry.kube.server_configuration import go_durations
from tenantry.kube.status import StatusError
from tenantry.kube.types import BUILTINS
from tenantry.kube.workloads import cron
from tenantry.kube.workloads.facts import messages
from tests.fuzz.targets import Target
from tests.support.protobuf import envelope

TESTS = Path(__file__).parent.parent
_MESSAGES = json.loads((TESTS / "kube" / "codec" / "go_messages.json").read_text())
_RECORDED = json.loads((TESTS / "kube" / "workloads" / "recorded.json").read_text())
_FORMATS = ("date-time", "date", "duration", "email", "uri", "ipv4", "ipv6", "cidr", "mac", "uuid", "byte", "hostname", "isbn")
_WHOLE = 21
"""The number of a client's bytes that make up a typical piece."""


def text_of(data: bytes) -> str:
    """The text in an input: as JSON would have it, and so with surrogates too."""
    return data.decode("utf-8", "replace")


def protobuf_bodies() -> Iterator[bytes]:
    for case in _MESSAGES:
        yield protobuf_encoding.encode(case["json"])
    messages()
    for case in _RECORDED["created"]:
        yield protobuf_encoding.encode(case["sent"])
    for definition in BUILTINS:
        yield envelope(definition.api_version(definition.storage_version), definition.kind, b"")


def decode_protobuf(data: bytes) -> None:
    """What is decoded is what it is encoded to."""
    try:
        obj = protobuf.decode(data)
    except StatusError:
        return
    messages()
    message = message_of(obj["apiVersion"], obj["kind"])
    assert message is not None
    try:
        normaliser(message)(obj)
    except Mismatch:
        return
    again = protobuf.decode(protobuf_encoding.encode(obj))
    normaliser(message)(again)
    assert again == obj, (again, obj)


def bodies() -> Iterator[bytes]:
    for number, case in enumerate(_RECORDED["created"][:40]):
        yield bytes((number % 4,)) + orjson.dumps(case["sent"])
    for text in (
        "a: &a [1, 0x1F, 1e3, ~, 2020-01-01]\nb: *a\n",
        "{a: !!str 1, ? [x] : y}",
        "a: |\n  b\n<<: {c: d}",
        "- 1\n---\n- 2",
    ):
        yield b"\x02" + text.encode()
        yield b"\x03" + text.encode()


def decode_body(data: bytes) -> None:
    """JSON that is decoded is what it is encoded to."""
    choice, body = data[:1], data[1:]
    if not choice:
        return
    media_type = YAML if choice[0] & 2 else JSON
    try:
        value, _ = parse_at_once(body, media_type, "ConfigMap", bool(choice[0] & 1))
    except StatusError:
        return
    written = orjson.dumps(value)
    assert orjson.loads(written) == value
    if media_type == JSON:
        assert parse_at_once(written, JSON, "", False)[0] == value
    for definition in BUILTINS if isinstance(value, dict) else ():
        message = definition.versions[definition.storage_version].message
        if definition.kind == value.get("kind") and message is not None:
            try:
                normaliser(message)(value)
            except Mismatch as mismatch:
                mismatch.text().encode(errors="surrogatepass")


def managed_fields() -> Iterator[bytes]:
    for text in (
        '{"f:data":{".":{},"f:a":{}}}',
        '{"f:l":{"v:1":{},"v:\\"x\\"":{},"v:true":{}},"f:m":{"k:{\\"a\\":1,\\"b\\":\\"x\\"}":{".":{},"f:v":{}}},"f:i":{"i:0":{}}}',
    ):
        entry = {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "time": "2024-01-01T00:00:00Z",
        }
        yield orjson.dumps([entry | {"fieldsV1": json.loads(text)}, entry | {"operation": "Apply", "fieldsV1": {}}])


def decode_managed_fields(data: bytes) -> None:
    """Decoding is idempotent, and the operations of sets are those of sets."""
    try:
        entries = parse_at_once(data, JSON, "", False)[0]
    except StatusError:
        return
    metadata = {"managedFields": entries}
    try:
        normaliser(OBJECT_META)(metadata)
    except Mismatch:
        return
    entries = metadata.get("managedFields")
    try:
        decoded = managers.decode(entries)
    except ValueError:
        return
    written = managers.encode(decoded)
    orjson.dumps(written)
    assert managers.decode(written) == decoded
    sets = [owned.fields for owned in decoded.values()][:4]
    for one in sets:
        assert field_set.union(one, one) == one
        assert not field_set.difference(one, one)
        for path in list(field_set.paths(one))[:20]:
            field_set.display(path)
        for other in sets:
            both = field_set.union(one, other)
            assert field_set.difference(field_set.difference(both, one), other) == {}
            assert field_set.size(field_set.intersection(one, other)) <= min(field_set.size(one), field_set.size(other))


def selectors() -> Iterator[bytes]:
    for text in ("a=b,c!=d", "a in (b, c),!d,e", "x notin (y),z>5,w<-1", "metadata.name=a\\,b,spec.x!=", "a.b/c==d", ""):
        yield text.encode()


def parse_selectors(data: bytes) -> None:
    """The text of a selector selects the same."""
    text = text_of(data)
    try:
        by_label = labels.parse(text)
    except ValueError:
        pass
    else:
        assert str(labels.parse(str(by_label))) == str(by_label)
        for sample in ({}, {"a": "b"}, {"z": "6"}, {"x": "y", "w": "-2"}):
            assert by_label.matches(sample) == labels.parse(str(by_label)).matches(sample)
        labels.memory_bytes(by_label)
    try:
        by_field = fields.parse(text)
    except ValueError:
        pass
    else:
        assert {*fields.parse(str(by_field)).requirements} == {*by_field.requirements}
        by_field.matches({"metadata.name": "a,b"})
        fields.memory_bytes(by_field)


def amounts() -> Iterator[bytes]:
    texts = [
        "1",
        "1.5Gi",
        "-3m",
        "1e3",
        "12E",
        "0.1n",
        "1h2m3.5s",
        "-1.5us",
        "2020-01-01T00:00:00Z",
        "2020-12-31T23:59:59.999999999+01:00",
    ]
    texts += ["*/5 * * * 1-5", "@every 1h", "TZ=UTC 0 0 1 1 *", "a@b.example", "http://[::1]:80/x?y#z", "fe80::1", "10.0.0.0/8"]
    return (text.encode() for text in texts)


def parse_amounts(data: bytes) -> None:
    """Canonical forms are fixed points, and amounts are compared as they are added."""
    text = text_of(data)
    try:
        quantity.parse(text)
    except ValueError:
        pass
    else:
        canonical = quantity.canonical(text)
        assert quantity.canonical(canonical) == canonical
        assert quantity.negated(quantity.negated(canonical)) == canonical
        quantity.milli_at_least(text)
        assert quantity.total([canonical]) == quantity.total([text])
        quantity.total([text, "1", canonical])
    for convert in (canonical_time, canonical_micro_time):
        try:
            made = convert(text)
        except ValueError:
            continue
        assert convert(made) == made
    for made_from in (cel_time.timestamp, cel_time.duration):
        try:
            value = made_from(text)
        except CelError:
            continue
        write: Any = cel_time.timestamp_text if made_from is cel_time.timestamp else cel_time.duration_text
        assert made_from(write(value)) == value
    try:
        nanoseconds = go_durations.parsed(text)
    except ValueError:
        pass
    else:
        assert go_durations.parsed(go_durations.written(nanoseconds)) == nanoseconds
    cron.schedule_problem(text)
    for name in _FORMATS:
        found = find(name)
        if found is not None:
            found(text)


def tokens() -> Iterator[bytes]:
    for token in (continue_token.ContinueToken(5, "default/a"), continue_token.ContinueToken(-1, "x/y/z", 7)):
        yield base64.urlsafe_b64decode(token.encode() + "==")


def decode_token(data: bytes) -> None:
    """A token that is decoded is what it is encoded to. The input is what is in the token, and also the token itself."""
    for text in (text_of(data), base64.urlsafe_b64encode(data).decode().rstrip("=")):
        try:
            token = continue_token.decode(text)
        except StatusError as error:
            error.message.encode(errors="surrogatepass")
            continue
        if not token.start.endswith("\0"):
            assert continue_token.decode(token.encode()) == token


def frames() -> Iterator[bytes]:
    mask = b"\x01\x02\x03\x04"
    yield b"\x89\x82" + mask + b"ab" + b"\x88\x80" + mask
    yield b"\x01\x83" + mask + b"abc" + b"\x80\xfe\x00\x80" + mask + b"x" * 128


def read_frames(data: bytes) -> None:
    """In whatever pieces frames come, they are the same."""
    answers: list[list[bytes]] = [[], [], []]
    codes = []
    for found, size in zip(answers, (len(data) or 1, 1, _WHOLE), strict=True):
        reader = ClientFrames(found.append)
        for at in range(0, len(data), size):
            reader.feed(data[at : at + size])
        codes.append(reader.close_code)
    assert codes[1] == codes[2], codes
    assert answers[1] == answers[2]


TARGETS = (
    Target(name="protobuf", run=decode_protobuf, seeds=protobuf_bodies),
    Target(name="bodies", run=decode_body, seeds=bodies, json_at=1, words=("!!binary", "&a", "*a", "<<", "---", "0x", ".inf")),
    Target(name="managed-fields", run=decode_managed_fields, seeds=managed_fields, json_at=0, words=("f:", "v:", "k:", "i:")),
    Target(name="selectors", run=parse_selectors, seeds=selectors, words=(" in (", " notin (", "!=", "==", "metadata.name")),
    Target(
        name="amounts", run=parse_amounts, seeds=amounts, words=("Gi", "e-9", "ns", "T24:00:00", "+23:59", "9223372036854775807")
    ),
    Target(name="tokens", run=decode_token, seeds=tokens, json_at=0, words=("meta.k8s.io/v1", "visibleAt")),
    Target(name="frames", run=read_frames, seeds=frames),
)
