"""A range in memory whose objects are served by the verbs, as the pipeline would call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import orjson

from tenantry.apiserver import request_info
from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Connector
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs.serve import serve
from tenantry.apiserver.visibility import Visibility
from tenantry.http.messages import Reply, Response, Stream
from tenantry.kube.api_set import ApiSet
from tenantry.kube.codec import protobuf
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.types import config_map, lease, namespace, secret
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tests.support.protobuf import MEDIA_TYPE, ProtobufSink
from tests.support.ranges import root_range
from tests.support.sinks import MemorySink
from tests.support.waiting import one_turn

ALICE = User("alice", ("devs",))
CLUSTER = "root"


def crd(properties: Object | None = None, **version: Any) -> Object:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": properties
                or {
                    "a": {"type": "string"},
                    "size": {"type": "integer"},
                    "replicas": {"type": "integer"},
                    "mode": {"type": "string", "default": "auto"},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "metadata": {"name": "things.test.example", "uid": "crd-1"},
        "spec": {
            "group": "test.example",
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                    "selectableFields": [{"jsonPath": ".spec.a"}],
                    **version,
                }
            ],
        },
        "status": {"acceptedNames": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}},
    }


class AllowAll:
    def authorize(self, attributes: Attributes) -> Decision:
        return Decision(Verdict.ALLOW)


class RangeScope:
    """One cluster, or all of the range, with everything allowed; a test sets what else a scope decides."""

    def __init__(
        self, cell: Cell, range_: Range, definitions: Sequence[ResourceDefinition], cluster: str | None = CLUSTER
    ) -> None:
        self.cluster = cluster
        self.cell = cell
        self.range = range_
        self.hubs = Hubs()
        self.converter = Converter(None)
        self.authorizer = AllowAll()
        self.admission: Any = AdmissionChain(())
        self.set = ApiSet(definitions)
        self.seen: Visibility | None = None
        self.shown: Callable[[Object], Object] | None = None
        self.connectors: dict[tuple[str, str], Connector] = {}
        self.copies: dict[bytes, bytes | None] = {}
        self.listeners: list[Callable[[], None]] = []

    def apis(self) -> ApiSet:
        return self.set

    def set_apis(self, definitions: Sequence[ResourceDefinition]) -> None:
        self.set = ApiSet(definitions)
        for listener in list(self.listeners):
            listener()

    def listed(self, apis: ApiSet) -> ApiSet:
        return apis

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(changed)
        return lambda: self.listeners.remove(changed)

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        return self.seen

    def acting_user(self, user: User) -> User:
        return user

    translation = None
    shown_since = 0

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        return self.shown

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        return self.copies

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return self.connectors.get((definition.plural, subresource))


class Answer:
    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.warnings = response.warnings
        self.headers = response.headers
        self.content_type = response.content_type
        self.raw = b"".join((response.body, *response.more))

    @property
    def json(self) -> Any:
        """The decoded body, of protobuf too."""
        return protobuf.decode(self.raw) if self.content_type == MEDIA_TYPE else orjson.loads(self.raw)

    @property
    def rv(self) -> str:
        return str(self.json["metadata"]["resourceVersion"])

    @property
    def message(self) -> str:
        return str(self.json["message"])

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.json["items"]]


class RangeServer:
    """Called as `await server(method, path, body)`."""

    def __init__(self, scope: RangeScope) -> None:
        self.scope = scope

    @property
    def thing(self) -> ResourceDefinition:
        found = self.scope.apis().find("test.example", "v1", "things")
        assert found is not None
        return found[0]

    async def reply(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Any = (),
        accept: str = "",
        content_type: str = "",
        user: User = ALICE,
    ) -> Reply:
        path, _, raw_query = path.partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)

        async def read_body(limit_bytes: int) -> bytes:
            return raw

        headers = {"accept": accept, "content-type": content_type, "user-agent": "tests/1.0"}
        request = Request(method, path, raw_query or urlencode(query, doseq=True), headers, read_body)
        info = request_info.parse(method, path, request)
        found = self.scope.apis().find(info.group, info.version, info.resource)
        assert found is not None, path
        return await serve(request, self.scope, user, info, *found)

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        if method == "PATCH" and not more.get("content_type"):
            more["content_type"] = "application/merge-patch+json"
        response = await self.reply(method, path, body, **more)
        assert isinstance(response, Response)
        return Answer(response)

    async def stream(self, path: str, **more: Any) -> Stream:
        """A watch that was accepted, not running yet."""
        stream = await self.reply("GET", path, **more)
        assert isinstance(stream, Stream), stream
        return stream

    @asynccontextmanager
    async def watching(self, path: str, **more: Any) -> AsyncIterator[MemorySink]:
        """Runs a watch; its end is awaited only where the block ended it."""
        stream = await self.stream(path, **more)
        sink = ProtobufSink() if stream.content_type.startswith(MEDIA_TYPE) else MemorySink()
        task = asyncio.ensure_future(stream.run(sink))
        # The stream runs up to its first real wait: it is subscribed when the block begins.
        await one_turn()
        try:
            yield sink
        finally:
            sink.closed.set()
            await task


def cm(name: str, data: Object | None = None, **metadata: Any) -> Object:
    obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    return obj if data is None else {**obj, "data": data}


def thing(name: str, **spec: Any) -> Object:
    return {"apiVersion": "test.example/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


DEFINITIONS = (namespace.DEFINITION, config_map.DEFINITION, secret.DEFINITION, lease.DEFINITION)


async def start(definitions: Sequence[ResourceDefinition] | None = None) -> RangeServer:
    cell, range_ = await root_range()
    return RangeServer(RangeScope(cell, range_, definitions or (*DEFINITIONS, definition_from_crd(crd()))))
