"""Targets: whole requests to the verbs of a range in memory. Nothing is stored, so that an input does the same every time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import orjson

from tenantry.kube.codec import protobuf_encoding
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tests.apiserver.range_server import RangeServer, crd, start, thing
from tests.fuzz.decoders import text_of
from tests.fuzz.targets import Target
from tests.kube.apply.samples import THING_SPEC
from tests.support.api import PATCHES
from tests.support.sound_objects import sound_objects

_SERVER_ERROR = 500
_LISTS = ("limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "includeObject")
_ACCEPTS = (
    "",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/yaml",
)
_SPEC = {
    "map": [{"k": "a", "n": 1}, {"k": "b"}],
    "set": ["a", "b"],
    "ports": [{"port": 1}],
    "granular": {"a": "b"},
    "replicas": 1,
}
_PATCH_SEEDS: dict[str, list[Any]] = {
    "json": [[{"op": "replace", "path": "/metadata/labels", "value": {"a": "b"}}, {"op": "copy", "from": "/spec", "path": "/x"}]],
    "merge": [{"metadata": {"labels": {"a": None}}, "spec": {"a": 1}, "data": {"k": None}}],
    "strategic": [
        {"spec": {"containers": [{"$patch": "delete", "name": "a"}], "$setElementOrder/containers": [{"name": "a"}]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/y"], "ownerReferences": [{"uid": "1", "name": "x"}]}},
    ],
}


def _stored() -> Iterator[tuple[ResourceDefinition, Object]]:
    """Types, and a sound object of each."""
    yield definition_from_crd(crd(THING_SPEC)), thing("sample", **_SPEC)
    yield from sound_objects()


class _Platform:
    """A server with one object of each type."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        stored = list(_stored())
        self.server: RangeServer = self.loop.run_until_complete(start([definition for definition, _ in stored]))
        self.places: list[tuple[str, Object]] = []
        self.refused: dict[str, str] = {}
        for definition, obj in stored:
            root = f"/apis/{definition.group}" if definition.group else "/api"
            namespace = "/namespaces/default" if definition.namespaced else ""
            path = f"{root}/{definition.storage_version}{namespace}/{definition.plural}"
            status, answer = self.send("POST", path, orjson.dumps(obj), "application/json")
            if status < 300:
                self.places.append((f"{path}/{obj['metadata']['name']}", orjson.loads(answer)))
            else:
                self.refused[path] = answer.decode()

    def send(self, method: str, path: str, body: bytes, content_type: str, accept: str = "") -> tuple[int, bytes]:
        async def sent() -> tuple[int, bytes]:
            answer = await self.server(method, path, body, content_type=content_type, accept=accept)
            return answer.status, answer.raw

        return self.loop.run_until_complete(sent())


@cache
def platform() -> _Platform:
    return _Platform()


def _checked(method: str, path: str, body: bytes, content_type: str, accept: str = "") -> None:
    try:
        status, answer = platform().send(method, path, body, content_type, accept)
    except StatusError as error:
        status, answer = error.code, orjson.dumps(error.to_object())
    # Upstream answers some wrong requests with 500, and no reason: versions that are no numbers, patches that cannot be merged.
    meant = b"reason" not in answer or any(text in answer for text in _MEANT)
    assert status < _SERVER_ERROR or meant, answer[:300]


_MEANT = (b"Object 'apiVersion' is missing",)
"""In answers with 500 that upstream gives too, with a reason. What nobody meant is no answer here, but an exception."""
_HEAD = 3
"""An input's bytes before the body: which object, which content type, which options."""
_TYPES = (*PATCHES.values(), "application/apply-patch+yaml", "application/json")
_FIELDS = ("", "Strict", "Warn", "Ignore")


def writes() -> Iterator[bytes]:
    for number, (_, obj) in enumerate(platform().places):
        yield bytes((number, 5, 1)) + orjson.dumps(obj)
        yield bytes((number, 5, 0x31 if number % 2 else 0x41)) + orjson.dumps(obj)
        applied = {**obj, "metadata": {"name": obj["metadata"]["name"], "labels": {"x": "y"}}}
        yield bytes((number, 3, 6)) + orjson.dumps(applied)
        for kind, (content, patches) in enumerate(zip(PATCHES, _PATCH_SEEDS.values(), strict=False)):
            for patch in patches if number % 5 == 0 or content == "strategic" else ():
                yield bytes((number, kind, 2)) + orjson.dumps(patch)


def write(data: bytes) -> None:
    """Creates, updates, patches and applies, without storing what comes out."""
    if len(data) < _HEAD:
        return
    places = platform().places
    path, _ = places[data[0] % len(places)]
    content_type, options = _TYPES[data[1] % len(_TYPES)], data[2]
    query = f"?dryRun=All&fieldManager=m&fieldValidation={_FIELDS[options % 4]}"
    if options & 4 and "apply" in content_type:
        query += "&force=true"
    if options & 8:
        path = f"{path}/status"
    if content_type == "application/json":
        method = "POST" if options & 16 else "PUT"
        path = path.rpartition("/")[0] if options & 16 and not options & 8 else path
        method = "PUT" if options & 8 else method
    else:
        method = "PATCH"
    _checked(method, path + query, data[_HEAD:], content_type, _ACCEPTS[(options >> 5) % 3])


def binary_writes() -> Iterator[bytes]:
    for number, (_, obj) in enumerate(platform().places):
        try:
            yield bytes((number, 0)) + protobuf_encoding.encode(obj)
        except KeyError:
            continue


def write_binary(data: bytes) -> None:
    if len(data) < 2:
        return
    places = platform().places
    path, _ = places[data[0] % len(places)]
    if data[1] & 1:
        _checked("POST", f"{path.rpartition('/')[0]}?dryRun=All", data[2:], _ACCEPTS[2])
    else:
        _checked("PUT", f"{path}?dryRun=All", data[2:], _ACCEPTS[2], _ACCEPTS[2])


def queries() -> Iterator[bytes]:
    for number in range(0, 20, 3):
        for query in (
            "limit=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0",
            "labelSelector=a%3Db,c&fieldSelector=metadata.name%3Da",
            "resourceVersion=0&resourceVersionMatch=NotOlderThan&includeObject=Metadata",
        ):
            yield bytes((number, number % 5)) + query.encode()


def read(data: bytes) -> None:
    """Lists and reads, with any query and in any form."""
    if len(data) < 2:
        return
    places = platform().places
    path, _ = places[data[0] % len(places)]
    accept = _ACCEPTS[data[1] % len(_ACCEPTS)]
    raw = quote(text_of(data[2:]), safe="=&%+,/:;")
    for asked in (path, path.rpartition("/")[0]):
        _checked("GET", f"{asked}?{raw.replace('watch', 'w')}", b"", "", accept)


TARGETS = (
    Target(
        name="writes",
        run=write,
        seeds=writes,
        json_at=_HEAD,
        words=(
            "$patch",
            "$setElementOrder/",
            "$deleteFromPrimitiveList/",
            "$retainKeys",
            "managedFields",
            "f:spec",
            "ownerReferences",
        ),
    ),
    Target(name="protobuf-writes", run=write_binary, seeds=binary_writes),
    Target(name="queries", run=read, seeds=queries, words=tuple(f"&{name}=" for name in _LISTS)),
)
