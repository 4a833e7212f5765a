"""The figures of what clients of Kubernetes ask for beside JSON of built-in types: protobuf, Tables, apply, custom resources, and
the documents of a workspace's APIs.

Each row has the CPU time of the server beside what a clock measures, as the load client and other work share the machine's cores.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

import orjson

from benchmarks import objects, workspaces
from benchmarks.client import JSON, Client, Connection, Failed, must
from benchmarks.load import Step, closed_loop
from benchmarks.results import Figures
from tools.server import Server

CLUSTER = "/clusters/root:apis"
CONFIG_MAPS = f"{CLUSTER}/api/v1/namespaces/default/configmaps"
GROUP = "bench.example"
CUSTOM = f"{CLUSTER}/apis/{GROUP}/v1/namespaces/default/kind0s"
DEFINITIONS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PROTOBUF = "Accept: application/vnd.kubernetes.protobuf\r\n"
TABLE = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n"
APPLY = "Content-Type: application/apply-patch+yaml\r\n"
AGGREGATED = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n"
DOCUMENTS = (
    ("/api", AGGREGATED),
    ("/apis", AGGREGATED),
    (f"/apis/{GROUP}/v1", ""),
    ("/openapi/v3", ""),
    (f"/openapi/v3/apis/{GROUP}/v1", ""),
    ("/openapi/v2", "Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf\r\n"),
    ("/openapi/v2", "Accept: application/json\r\n"),
)
"""What kubectl and client-go ask for before their first request: paths and headers."""
TAGGED = tuple(
    (path, accept) for path, accept in DOCUMENTS if accept == AGGREGATED or path.startswith(("/openapi/v2", "/openapi/v3/"))
)
"""Those with an ETag, as in kube-apiserver."""
PREPARED = 1000
ROUNDS = 9
KINDS = 50
PROPERTIES = 40
DEFINING_WORKSPACES = 31
BOUND_WORKSPACES = 90
AGAIN = 50
SETTLED_SECONDS_MAX = 60.0


async def measure(client: Client, server: Server, figures: Figures) -> None:
    await workspaces.create_all(client, ["apis"])
    await objects.create(client, CONFIG_MAPS, "many", 16, PREPARED)
    await _protobuf(client, server, figures)
    await _row(client, server, figures, "table_500", 8, 300, _table(CONFIG_MAPS))
    await _row(client, server, figures, "apply", 32, 3000, _apply)
    connection = await client.connect()
    await define(connection, CLUSTER, 1)
    await _rules_hold(connection)
    await _row(client, server, figures, "custom_create", 32, 3000, _create_custom)
    await _row(client, server, figures, "custom_table_500", 8, 300, _table(CUSTOM))
    await _documents(client, connection, server, figures)
    connection.close()


async def _row(
    client: Client, server: Server, figures: Figures, name: str, clients: int, requests: int, step: Step
) -> tuple[float, float]:
    """Measures a row after a tenth of its requests, which do not count. Returns requests per second, and the CPU time of the
    server for one in microseconds."""

    async def warm(connection: Connection, number: int) -> None:
        await step(connection, -1 - number)

    await closed_loop(client, clients, warm, requests=max(clients, requests // 10))
    before = server.cpu_seconds()
    result = await closed_loop(client, clients, step, requests=requests)
    cpu = 1e6 * (server.cpu_seconds() - before) / requests
    figures[name] = result.per_second
    figures[f"{name}_cpu"] = cpu
    return result.per_second, cpu


async def _protobuf(client: Client, server: Server, figures: Figures) -> None:
    """Rounds in which protobuf and JSON take turns."""
    sizes: dict[str, int] = {}

    def get(accept: str) -> Step:
        async def step(connection: Connection, number: int) -> None:
            name = f"many-{number % PREPARED}"
            answer = must(await connection.request("GET", f"{CONFIG_MAPS}/{name}", headers=accept), 200)
            _is(accept, answer.body, name.encode())
            sizes["get" + accept] = len(answer.body)

        return step

    def list_(accept: str) -> Step:
        async def step(connection: Connection, number: int) -> None:
            answer = must(await connection.request("GET", f"{CONFIG_MAPS}?limit=500", headers=accept), 200)
            _is(accept, answer.body, objects.VALUE.encode())
            # One of the 500 is kube-root-ca.crt.
            if answer.body.count(objects.VALUE.encode()) != 499:
                raise Failed("a page of 500 has another number of objects")
            sizes["list" + accept] = len(answer.body)

        return step

    for verb, make, clients, requests in (("get", get, 32, 2000), ("list", list_, 8, 100)):
        ratios: list[tuple[float, float]] = []
        for turn in range(-1, ROUNDS):
            found = {}
            for accept in ("", PROTOBUF) if turn % 2 else (PROTOBUF, ""):
                found[accept] = await _row(client, server, {}, verb, clients, requests, make(accept))
            if turn >= 0:
                ratios.append((found[PROTOBUF][0] / found[""][0], found[PROTOBUF][1] / found[""][1]))
        figures[f"protobuf_{verb}"] = statistics.median(rate for rate, _ in ratios)
        figures[f"protobuf_{verb}_cpu"] = statistics.median(cpu for _, cpu in ratios)
        figures[f"protobuf_{verb}_bytes"] = sizes[verb + PROTOBUF] / sizes[verb]


def _is(accept: str, body: bytes, content: bytes) -> None:
    if body.startswith(b"k8s\0") != (accept == PROTOBUF) or content not in body:
        raise Failed(f"not what was asked for: {body[:200]!r}")


def _table(base: str) -> Step:
    async def step(connection: Connection, number: int) -> None:
        answer = must(await connection.request("GET", f"{base}?limit=500", headers=TABLE), 200)
        if b'"kind":"Table"' not in answer.body or answer.body.count(b'"cells"') != 500:
            raise Failed(f"not a Table of 500 rows: {answer.body[:200]!r}")

    return step


async def _apply(connection: Connection, number: int) -> None:
    """Applies 2 KB in JSON to one of 200 objects, of which one field changes."""
    name = f"applied-{number % 200}"
    data = {f"key-{key:02}": f"{key:02}" * 20 for key in range(36)} | {"changed": str(number)}
    body = orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
    path = f"{CONFIG_MAPS}/{name}?fieldManager=bench"
    answer = must(await connection.request("PATCH", path, body, APPLY), 200, 201)
    if f'"changed":"{number}"'.encode() not in answer.body or b'"operation":"Apply"' not in answer.body:
        raise Failed(f"the change {number} is not in its answer: {answer.body[:300]!r}")


def definition(kind: int) -> bytes:
    """A CustomResourceDefinition with `PROPERTIES` properties of six types, three rules, and three columns."""
    types: Sequence[dict[str, object]] = (
        {"type": "string", "maxLength": 100, "description": f"A text of kind {kind}"},
        {"type": "integer", "minimum": 0},
        {"type": "boolean", "default": True},
        {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}, "port": {"type": "integer"}}},
    )
    schema = {
        "type": "object",
        "properties": {f"field{number}": types[number % len(types)] for number in range(PROPERTIES)},
        "x-kubernetes-validations": [
            {"rule": "self.field1 <= self.field7", "message": "first rule"},
            {"rule": "self.field3.all(item, item.startsWith('item'))", "message": "second rule"},
            {"rule": "!has(self.field5.name) || self.field5.name != self.field0", "message": "third rule"},
        ],
        "required": ["field0", "field1", "field3", "field5", "field7"],
    }
    columns = [
        {"name": name, "type": form, "jsonPath": f".spec.{field}"}
        for name, form, field in (
            ("Text", "string", "field0"),
            ("Number", "integer", "field1"),
            ("Port", "integer", "field5.port"),
        )
    ]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}},
        "additionalPrinterColumns": columns,
    }
    return orjson.dumps(
        {
            "metadata": {"name": f"kind{kind}s.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "plural": f"kind{kind}s",
                    "singular": f"kind{kind}",
                    "kind": f"Kind{kind}",
                    "listKind": f"Kind{kind}List",
                },
                "versions": [version],
            },
        }
    )


async def define(connection: Connection, cluster: str, kinds: int) -> None:
    """Makes definitions, and waits until the last one is served."""
    for kind in range(kinds):
        must(await connection.request("POST", f"{cluster}/{DEFINITIONS}", definition(kind), JSON), 201)
    await _served(connection, cluster, kinds - 1)


async def _served(connection: Connection, cluster: str, kind: int) -> None:
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        while must(await connection.request("GET", f"{cluster}/apis/{GROUP}/v1/kind{kind}s"), 200, 404).status == 404:
            pass


def custom(name: str, **changed: object) -> bytes:
    values = ("text", 1, True, ["item-1", "item-2"], {"key": "value"}, {"name": "port", "port": 80})
    spec = {f"field{number}": values[number % len(values)] for number in range(PROPERTIES)} | changed
    return _custom_object(f"{GROUP}/v1", "Kind0", name, spec)


def _custom_object(api_version: str, kind: str, name: str, spec: dict[str, object]) -> bytes:
    return orjson.dumps({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})


async def _rules_hold(connection: Connection) -> None:
    wrong: Sequence[dict[str, object]] = ({"field1": 2}, {"field3": ["other"]}, {"field5": {"name": "text", "port": 1}})
    for changed, said in zip(wrong, (b"first rule", b"second rule", b"third rule"), strict=True):
        answer = must(await connection.request("POST", CUSTOM, custom("wrong", **changed), JSON), 422)
        if said not in answer.body:
            raise Failed(f"the {said.decode()} does not hold: {answer.body[:300]!r}")


async def _create_custom(connection: Connection, number: int) -> None:
    name = f"warm{-number}" if number < 0 else f"many{number}"
    answer = must(await connection.request("POST", CUSTOM, custom(name), JSON), 201)
    if b'"field39"' not in answer.body:
        raise Failed(f"a property is not in the answer: {answer.body[:300]!r}")


async def _documents(client: Client, connection: Connection, server: Server, figures: Figures) -> None:
    own = [f"defining-{number}" for number in range(DEFINING_WORKSPACES)]
    await workspaces.create_all(client, own)
    for name in own:
        await define(connection, f"/clusters/root:{name}", KINDS)
    figures["documents_first"] = max([await _read(connection, own[0], *document) for document in DOCUMENTS])
    figures["documents_again"] = max([await _unchanged(connection, own[0], *document) for document in TAGGED])
    # The first third fills what is bounded and shared by all.
    await _memory(connection, server, own[1 : DEFINING_WORKSPACES // 3])
    figures["documents_memory_own"] = await _memory(connection, server, own[DEFINING_WORKSPACES // 3 :])
    bound = [f"bound-{number}" for number in range(BOUND_WORKSPACES)]
    await workspaces.create_all(client, ["provider", *bound])
    await _export(connection, "/clusters/root:provider")
    for name in bound:
        await _bind(connection, f"/clusters/root:{name}")
    await _memory(connection, server, bound[: BOUND_WORKSPACES // 3])
    figures["documents_memory_bound"] = await _memory(connection, server, bound[BOUND_WORKSPACES // 3 :])


async def _memory(connection: Connection, server: Server, names: Sequence[str]) -> float:
    """By how many KiB the server grows for each workspace whose documents are read."""
    before = server.memory_bytes()
    for name in names:
        for document in DOCUMENTS:
            await _read(connection, name, *document)
    return (server.memory_bytes() - before) / len(names) / 1024


async def _export(connection: Connection, cluster: str) -> None:
    """Exports the types of `definition`."""
    resources = []
    for kind in range(KINDS):
        spec = orjson.loads(definition(kind))["spec"]
        for version in spec["versions"]:
            version["schema"] = version["schema"]["openAPIV3Schema"]
        name = f"v1.kind{kind}s.{GROUP}"
        body = _custom_object("apis.kcp.io/v1alpha1", "APIResourceSchema", name, spec)
        path = f"{cluster}/apis/apis.kcp.io/v1alpha1/apiresourceschemas"
        must(await connection.request("POST", path, body, JSON), 201)
        resources.append({"group": GROUP, "name": f"kind{kind}s", "schema": name, "storage": {"crd": {}}})
    body = _custom_object("apis.kcp.io/v1alpha2", "APIExport", "bench", {"resources": resources})
    must(await connection.request("POST", f"{cluster}/apis/apis.kcp.io/v1alpha2/apiexports", body, JSON), 201)


async def _bind(connection: Connection, cluster: str) -> None:
    reference = {"export": {"path": "root:provider", "name": "bench"}}
    body = _custom_object("apis.kcp.io/v1alpha2", "APIBinding", "bench", {"reference": reference})
    must(await connection.request("POST", f"{cluster}/apis/apis.kcp.io/v1alpha2/apibindings", body, JSON), 201)
    await _served(connection, cluster, KINDS - 1)


async def _unchanged(connection: Connection, name: str, path: str, accept: str) -> float:
    """The median time in milliseconds in which the answer is that a document is the same."""
    answer = must(await connection.request("GET", f"/clusters/root:{name}{path}", headers=accept), 200)
    headers = f"{accept}If-None-Match: {answer.etag}\r\n"
    times = []
    for _ in range(AGAIN):
        began = time.perf_counter()
        must(await connection.request("GET", f"/clusters/root:{name}{path}", headers=headers), 304)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


async def _read(connection: Connection, name: str, path: str, accept: str) -> float:
    """Reads a document; the time in milliseconds."""
    began = time.perf_counter()
    answer = must(await connection.request("GET", f"/clusters/root:{name}{path}", headers=accept), 200)
    taken = 1000 * (time.perf_counter() - began)
    wanted = {"/api": b"configmaps", "/openapi/v3": GROUP.encode()}.get(path, f"Kind{KINDS - 1}".encode())
    if wanted not in answer.body:
        raise Failed(f"{path} lacks {wanted!r}: {answer.body[:200]!r}")
    return taken
