"""Compares hand-written parts with libraries that could replace them: the numbers of docs/decisions 20 to 23.

Those of 19, 24, 25 and 26 are in `alternatives_cel.py`, `alternatives_codecs.py` and `alternatives_apply.py`.

    pip install --target /tmp/alternatives jsonpatch jsonpath-ng
    PYTHONPATH=/tmp/alternatives .venv/bin/python -m tools.alternatives

Each row is the best of forty rounds in which both run alternately. It is CPU time, so other processes hardly affect it.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from tenantry.kube import jsonpath, message_tables
from tenantry.kube.codec import protobuf, protobuf_encoding
from tenantry.kube.patch import json_patch
from tenantry.kube.selectors import labels
from tenantry.kube.types import config_map

ROUNDS = 40
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
    "bytes": _FIELD.TYPE_BYTES,
}


def row(title: str, times: int, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Prints the microseconds per call of both, and how many times longer the library takes."""
    best = [float("inf")] * 2
    for _ in range(ROUNDS):
        for which, work in enumerate((ours, theirs)):
            begin = time.process_time()
            for _ in range(times):
                work()
            best[which] = min(best[which], (time.process_time() - begin) / times * 1e6)
    print(f"{title}: ours {best[0]:.1f} µs, library {best[1]:.1f} µs, {best[1] / best[0]:.2f} times ours")


def json_patches() -> None:
    apply = import_module("jsonpatch").apply_patch
    metadata = {
        "name": "a",
        "resourceVersion": "1",
        "labels": {f"l{number}": "v" for number in range(10)},
        "annotations": {f"a{number}": "v" * 50 for number in range(10)},
        "finalizers": ["a/b", "c/d"],
    }
    document = {"metadata": metadata, "data": {f"k{number}": "v" * 40 for number in range(100)}}
    few = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "add", "path": "/metadata/labels/new", "value": "x"},
        {"op": "replace", "path": "/data/k1", "value": "y"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
        {"op": "copy", "from": "/data/k2", "path": "/data/k200"},
    ]
    many = [{"op": "add", "path": f"/data/n{number}", "value": "x"} for number in range(1000)]
    for title, operations, times in (("5 operations", few, 50), ("1,000 operations", many, 2)):
        assert json_patch.apply(document, operations) == apply(document, operations)
        row(
            f"JSON patch, {title} on a ConfigMap of 100 keys",
            times,
            partial(json_patch.apply, document, operations),
            partial(apply, document, operations),
        )


def json_paths() -> None:
    parse = import_module("jsonpath_ng.ext").parse
    value = {
        "spec": {"replicas": 3, "list": [{"name": f"n{number}"} for number in range(20)]},
        "status": {"conditions": [{"type": name, "status": "True"} for name in ("A", "B", "Ready", "D")]},
    }

    def found(path: Any) -> list[Any]:
        return [match.value for match in path.find(value)]

    for path in (".spec.replicas", '.status.conditions[?(@.type=="Ready")].status', ".spec.list[*].name", "..name"):
        ours, theirs = jsonpath.compile_path(path), parse(f"${path}")
        assert ours(value) == found(theirs)
        row(
            f"JSONPath, {path}",
            100,
            partial(ours, value),
            partial(found, theirs),
        )
    text = '.status.conditions[?(@.type=="Ready")].status'
    row(f"JSONPath, reading {text}", 5, partial(jsonpath._Path, text), partial(parse, f"${text}"))
    deep: dict[str, Any] = {"x": 1}
    for _ in range(60):
        deep = {"a": deep}
    row(
        "JSONPath, ..a..a..a in 60 levels",
        1,
        lambda: jsonpath.compile_path("..a..a..a")(deep),
        lambda: parse("$..a..a..a").find(deep),
    )


def label_selectors() -> None:
    """Compares with the simplest possible matcher, because there is no library."""

    def interpreted(selector: labels.LabelSelector, of: dict[str, str]) -> bool:
        for key, operator, values in selector.requirements:
            if operator in ("in", "=") and of.get(key) not in values:
                return False
            if operator in ("notin", "!=") and key in of and of[key] in values:
                return False
            if (operator == "!" and key in of) or (operator == "exists" and key not in of):
                return False
        return True

    found = {"app": "web", "tier": "back", "env": "prod", "x": "y"}
    for text in ("app=web", "app=web,tier in (front,back),!canary,env notin (dev,test)"):
        selector = labels.parse(text)
        assert selector.matches(found) and interpreted(selector, found)
        row(f"Selector, {text}", 2000, partial(selector.matches, found), partial(interpreted, selector, found))


def protobuf_messages() -> None:
    config_map_class = _classes(config_map.MESSAGE)

    def read(raw: bytes, theirs: Callable[[Any], object]) -> object:
        return theirs(config_map_class.FromString(raw))

    for keys, size in ((3, 20), (100, 40), (10, 10_000)):
        sent = config_map_class()
        sent.metadata.name = "a"
        for number in range(keys):
            sent.data[f"k{number}"] = "v" * size
        raw = sent.SerializeToString()
        ours = partial(protobuf._decode, config_map.MESSAGE, memoryview(raw), 0)
        assert ours() == read(raw, json_format.MessageToDict) == read(raw, _plain)
        for title, theirs in (("MessageToDict", json_format.MessageToDict), ("a walk of our own", _plain)):
            row(
                f"ConfigMap of {keys} keys of {size} bytes, generated code and {title}",
                50,
                ours,
                partial(read, raw, theirs),
            )


def protobuf_writing() -> None:
    """Without times and JSON, which the class does not have: the library's work is less by these."""
    config_map_class = _classes(config_map.MESSAGE)
    zeros = dict.fromkeys(("generateName", "selfLink", "resourceVersion"), "") | {"generation": 0}

    def write(obj: dict[str, Any]) -> object:
        whole = {**obj, "metadata": {**zeros, **obj["metadata"]}}
        return config_map_class(**whole).SerializeToString(deterministic=True)

    for keys, size in ((3, 20), (100, 40), (10, 10_000)):
        labels_of = {"app": "web", "tier": "back"}
        metadata = {"name": "a", "namespace": "default", "uid": "8b8c0f0e-0000-4000-8000-000000000000", "labels": labels_of}
        obj: dict[str, Any] = {"metadata": metadata, "data": {f"k{number}": "v" * size for number in range(keys)}}
        ours = partial(protobuf_encoding.encode_message, config_map.MESSAGE, obj)
        found = config_map_class.FromString(ours())
        found.metadata.DiscardUnknownFields()
        assert found == config_map_class.FromString(write(obj))
        row(f"ConfigMap of {keys} keys of {size} bytes, written by generated code", 200, ours, partial(write, obj))


def _classes(root: message_tables.Message) -> Any:
    """The protobuf class for a table, as protoc would generate it, without times and JSON."""
    file = descriptor_pb2.FileDescriptorProto(name="tables.proto", package="tables", syntax="proto2")

    def add(message: message_tables.Message) -> None:
        if any(made.name == message.name for made in file.message_type):
            return
        for field in message.fields:
            if field.type.message is not None:
                add(field.type.message)
        made = file.message_type.add(name=message.name)
        for field in message.fields:
            if field.type.message is None and field.type.name not in _SCALARS:
                continue
            kind: dict[str, Any] = {"label": _FIELD.LABEL_OPTIONAL, "type": _SCALARS.get(field.type.name, _FIELD.TYPE_MESSAGE)}
            if field.type.message is not None:
                kind["type_name"] = f".tables.{field.type.message.name}"
            if field.type.container == "map":
                entry = made.nested_type.add(name=f"{field.name[0].upper()}{field.name[1:]}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
                entry.field.add(name="value", number=2, **kind)
                kind = {"type": _FIELD.TYPE_MESSAGE, "type_name": f".tables.{message.name}.{entry.name}"}
            if field.type.container:
                kind["label"] = _FIELD.LABEL_REPEATED
            made.field.add(name=field.name, json_name=field.name, number=field.number, **kind)

    add(root)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tables.{root.name}"))


def _plain(message: Any) -> dict[str, Any]:
    """The JSON value of a message, without the steps of json_format that are not needed here."""
    out: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            coded = {key: base64.b64encode(item).decode() if isinstance(item, bytes) else item for key, item in value.items()}
            out[field.name] = coded
        elif field.message_type is not None:
            out[field.name] = [_plain(item) for item in value] if field.is_repeated else _plain(value)
        else:
            out[field.name] = list(value) if field.is_repeated else value
    return out


if __name__ == "__main__":
    json_patches()
    json_paths()
    label_selectors()
    protobuf_messages()
    protobuf_writing()
