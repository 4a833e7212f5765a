# ruff: noqa: E501  (a message of the server is one line)
import base64
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from tenantry.apiserver.scope import Call
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.http.messages import Response
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.types import config_map
from tenantry.storage.range import TooOld
from tenantry.storage.record import Record
from tests.apiserver.range_server import DEFINITIONS, RangeServer, cm, crd, thing

CMS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/test.example/v1/namespaces/default/things"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def filled(server: RangeServer) -> RangeServer:
    for index, name in enumerate(("b", "a", "c-1", "c.1", "c")):
        await server("POST", CMS, cm(name, labels={"i": str(index), "parity": "even" if index % 2 == 0 else "odd"}))
    return server


async def test_get(filled: RangeServer) -> None:
    answer = await filled("GET", CMS + "/a")
    assert (answer.status, answer.json["kind"], answer.json["metadata"]["name"]) == (200, "ConfigMap", "a")
    assert answer.json["metadata"]["annotations"] == {"kcp.io/cluster": "root"}
    assert (await filled("GET", CMS + "/a?watch=true")).json["kind"] == "ConfigMap"


async def test_get_missing(server: RangeServer) -> None:
    answer = await server("GET", CMS + "/none")
    assert (answer.status, answer.message) == (404, 'configmaps "none" not found')
    assert answer.json["details"] == {"name": "none", "kind": "configmaps"}


async def test_get_in_other_representations(filled: RangeServer) -> None:
    table = (await filled("GET", CMS + "/a", accept=TABLE)).json
    assert (table["kind"], [row["cells"][0] for row in table["rows"]]) == ("Table", ["a"])
    partial = (await filled("GET", CMS + "/a", accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")).json
    assert (partial["kind"], set(partial)) == ("PartialObjectMetadata", {"kind", "apiVersion", "metadata"})
    assert (await filled("GET", CMS + "/a", accept="application/yaml")).raw.startswith(b"apiVersion: v1\n")


async def test_lists_are_ordered_and_bear_a_version(filled: RangeServer) -> None:
    answer = await filled("GET", CMS)
    assert answer.names == ["a", "b", "c", "c-1", "c.1"]
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("ConfigMapList", "v1")
    assert set(answer.json["metadata"]) == {"resourceVersion"}
    assert "kind" not in answer.json["items"][0]
    assert (await filled("GET", CMS + "?labelSelector=i%3Dnone")).json["items"] == []


async def test_items_of_custom_lists_bear_their_kind(server: RangeServer) -> None:
    await server("POST", THINGS, thing("t"))
    answer = (await server("GET", THINGS)).json
    assert answer["items"][0]["kind"] == "Thing"
    assert answer["metadata"]["continue"] == ""


async def test_all_namespaces_in_the_order_of_keys(server: RangeServer) -> None:
    for namespace in ("ns-b", "ns-a", "ns-a-b"):
        for name in ("y", "x"):
            await server("POST", f"/api/v1/namespaces/{namespace}/configmaps", cm(name))
    places = [
        (i["metadata"]["namespace"], i["metadata"]["name"]) for i in (await server("GET", "/api/v1/configmaps")).json["items"]
    ]
    assert places == [("ns-a-b", "x"), ("ns-a-b", "y"), ("ns-a", "x"), ("ns-a", "y"), ("ns-b", "x"), ("ns-b", "y")]
    chunked = []
    token = ""
    while True:
        page = (await server("GET", "/api/v1/configmaps", query={"limit": 1, **({"continue": token} if token else {})})).json
        chunked += [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert chunked == places


async def test_pages_show_one_version(filled: RangeServer) -> None:
    first = await filled("GET", CMS + "?limit=2")
    assert first.names == ["a", "b"]
    assert first.json["metadata"]["remainingItemCount"] == 3
    await filled("POST", CMS, cm("bb"))
    await filled("DELETE", CMS + "/c.1")
    second = await filled("GET", CMS, query={"limit": 2, "continue": first.json["metadata"]["continue"]})
    assert second.names == ["c", "c-1"]
    assert second.rv == first.rv
    last = await filled("GET", CMS, query={"limit": 5, "continue": second.json["metadata"]["continue"]})
    assert (last.names, last.rv) == (["c.1"], first.rv)
    assert "continue" not in last.json["metadata"]


async def test_no_count_of_what_remains_with_a_selector(filled: RangeServer) -> None:
    page = (await filled("GET", CMS + "?limit=1&labelSelector=parity%3Deven")).json["metadata"]
    assert "continue" in page
    assert "remainingItemCount" not in page


async def test_expired_pages_go_on_with_another_token(filled: RangeServer) -> None:
    version = int((await filled("GET", CMS)).rv) - (50 << 7)
    token = base64.urlsafe_b64encode(orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": "/a\0"})).decode().rstrip("=")
    answer = await filled("GET", CMS, query={"limit": 2, "continue": token})
    assert (answer.status, answer.json["reason"]) == (410, "Expired")
    assert answer.message.startswith("The provided continue parameter is too old to display a consistent list result.")
    again = await filled("GET", CMS, query={"limit": 2, "continue": answer.json["metadata"]["continue"]})
    assert again.names == ["b", "c"]


LIST_VERSIONS = [
    ("resourceVersion=abc", 400, 'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'),
    ("resourceVersion=0", 200, ""),
    ("resourceVersion=", 200, ""),
    ("resourceVersion=0&resourceVersionMatch=NotOlderThan", 200, ""),
    ("resourceVersion=0&resourceVersionMatch=Exact", 422, 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
    ("resourceVersionMatch=Exact", 422, 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided'),
    ("resourceVersion=5&resourceVersionMatch=Foo", 422, 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""'),
    ("sendInitialEvents=true", 422, 'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list'),
    ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("limit=", 400, 'strconv.ParseInt: parsing "": invalid syntax'),
    ("limit=-1", 200, ""),
    ("continue=garbage", 400, "invalid continue token: continue key is not valid: invalid character '\\u0081' looking for beginning of value"),
    ("continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", 400, "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
    ("continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhXHUwMDAwIiwidmlzaWJsZUF0IjoieCJ9", 400, "invalid continue token: continue key is not valid: incorrect encoded visibility (version meta.k8s.io/v1)"),
    ("labelSelector=%21%21bad", 400, "unable to parse requirement: found '!', expected: identifier"),
    ("fieldSelector=foo", 400, "invalid selector: 'foo'; can't understand 'foo'"),
    ("fieldSelector=data.k%3D1", 400, '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"'),
]  # fmt: skip


@pytest.mark.parametrize(("query", "status", "message"), LIST_VERSIONS)
async def test_list_options(server: RangeServer, query: str, status: int, message: str) -> None:
    answer = await server("GET", f"{CMS}?{query}")
    assert (answer.status, answer.json.get("message", "")) == (status, message)


async def test_lists_at_a_version(filled: RangeServer) -> None:
    before = (await filled("GET", CMS)).rv
    await filled("POST", CMS, cm("new"))
    exact = await filled("GET", CMS, query={"resourceVersion": before, "resourceVersionMatch": "Exact"})
    assert ("new" in exact.names, exact.rv) == (False, before)
    at_least = await filled("GET", CMS, query={"resourceVersion": before, "resourceVersionMatch": "NotOlderThan"})
    assert "new" in at_least.names
    legacy = await filled("GET", CMS, query={"resourceVersion": before, "limit": 1})
    assert legacy.rv == before
    unlimited = await filled("GET", CMS, query={"resourceVersion": "0", "limit": 1})
    assert len(unlimited.names) == 6


async def test_a_version_of_the_future_is_waited_for(filled: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.apiserver.verbs.resource_version_parameter.WAIT_SECONDS", 0.02)
    current = (await filled("GET", CMS)).rv
    future = str(int(current) + 1280)
    for path in (CMS, CMS + "/a"):
        answer = await filled("GET", path, query={"resourceVersion": future})
        assert (answer.status, answer.message) == (504, f"Timeout: Too large resource version: {future}, current: {current}")
        assert answer.headers["Retry-After"] == "1"
        assert answer.json["details"]["causes"] == [
            {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        ]


def foreign(version: str, change: int) -> str:
    """The same version of the cell whose number is greater by `change`."""
    return str(int(version) + (change << 55))


@pytest.mark.parametrize("version", ["1", "99999999", str((1 << 55) - 1)])
async def test_older_versions_of_another_cell_count_as_compacted(filled: RangeServer, version: str) -> None:
    """As those from before the restore of an etcd whose revisions were bumped: "not older than" one is the state of now."""
    now = await filled("GET", CMS)
    for query in ({}, {"resourceVersionMatch": "NotOlderThan"}, {"resourceVersionMatch": "NotOlderThan", "limit": "500"}):
        answer = await filled("GET", CMS, query={"resourceVersion": version, **query})
        assert (answer.status, answer.names, answer.rv) == (200, now.names, now.rv), query
    assert (await filled("GET", CMS + "/a", query={"resourceVersion": version})).status == 200
    for query in ({"resourceVersionMatch": "Exact"}, {"limit": "1"}):
        answer = await filled("GET", CMS, query={"resourceVersion": version, **query})
        assert (answer.status, answer.json["reason"]) == (410, "Expired"), query


@pytest.mark.parametrize("query", [{}, {"resourceVersionMatch": "NotOlderThan"}, {"resourceVersionMatch": "Exact"}])
async def test_greater_versions_of_another_cell_are_never_reached(filled: RangeServer, query: dict[str, str]) -> None:
    version = foreign((await filled("GET", CMS)).rv, 1)
    answer = await filled("GET", CMS, query={"resourceVersion": version, **query})
    assert (answer.status, answer.json["reason"]) == (410, "Expired")
    assert (await filled("GET", CMS + "/a", query={"resourceVersion": version})).status == 410


async def test_a_watch_from_another_cell_must_begin_anew(filled: RangeServer) -> None:
    """It would miss events, unless it begins with the state of now."""
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&fieldSelector=metadata.name=a"
    greater = foreign((await filled("GET", CMS)).rv, 1)
    for query in ("resourceVersion=1", f"resourceVersion={greater}", f"{initial}&resourceVersion={greater}"):
        async with filled.watching(f"{CMS}?watch=true&{query}") as sink:
            assert [(event["type"], event["object"].get("code")) for event in sink.events] == [("ERROR", 410)]
    async with filled.watching(f"{CMS}?watch=true&{initial}&resourceVersion=1") as sink:
        assert sink.short == [("ADDED", "a")]


async def test_selectors(filled: RangeServer) -> None:
    assert (await filled("GET", CMS, query={"labelSelector": "parity=even"})).names == ["b", "c", "c-1"]
    assert (await filled("GET", CMS, query={"labelSelector": "i notin (0,1)"})).names == ["c", "c-1", "c.1"]
    assert (await filled("GET", CMS, query={"fieldSelector": "metadata.name=c"})).names == ["c"]
    assert (await filled("GET", CMS, query={"fieldSelector": "metadata.name!=c"})).names == ["a", "b", "c-1", "c.1"]
    assert (await filled("GET", CMS, query={"fieldSelector": "metadata.name=c,metadata.namespace=other"})).names == []
    assert (await filled("GET", "/api/v1/configmaps", query={"fieldSelector": "metadata.name=c"})).names == ["c"]


async def test_selectable_fields_of_custom_resources(server: RangeServer) -> None:
    for name, value in (("one", "x"), ("two", "y"), ("three", "")):
        await server("POST", THINGS, thing(name, a=value))
    assert (await server("GET", THINGS, query={"fieldSelector": "spec.a=x"})).names == ["one"]
    assert (await server("GET", THINGS, query={"fieldSelector": "spec.a!=x"})).names == ["three", "two"]
    answer = await server("GET", THINGS, query={"fieldSelector": "spec.size=1"})
    assert (answer.status, answer.message) == (400, "field label not supported: spec.size")


async def test_defaults_of_a_newer_schema_are_seen_by_readers(server: RangeServer) -> None:
    await server("POST", THINGS, thing("t"))
    newer = crd({"a": {"type": "string", "default": "fresh"}, "mode": {"type": "string"}})
    server.scope.set_apis((*DEFINITIONS, definition_from_crd(newer)))
    assert (await server("GET", THINGS + "/t")).json["spec"] == {"mode": "auto", "a": "fresh"}
    assert (await server("GET", THINGS)).json["items"][0]["spec"]["a"] == "fresh"


async def test_tables_keep_the_metadata_of_lists(filled: RangeServer) -> None:
    table = (await filled("GET", CMS + "?limit=2", accept=TABLE)).json
    assert table["metadata"]["remainingItemCount"] == 3
    assert [row["cells"][0] for row in table["rows"]] == ["a", "b"]
    partial = (await filled("GET", CMS, accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")).json
    assert (partial["kind"], partial["items"][0]["kind"]) == ("PartialObjectMetadataList", "PartialObjectMetadata")
    answer = await filled("GET", CMS, accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert answer.status == 406


class Only:
    adds = True
    in_slices = False
    key = None

    def __init__(self, *names: str) -> None:
        self.names = names

    def sees(self, record: Record) -> bool:
        return record.key.name in self.names

    def at(self, version: int) -> Visibility:
        return self

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


async def test_what_is_not_visible_does_not_exist(filled: RangeServer) -> None:
    filled.scope.seen = Only("a")
    assert (await filled("GET", CMS)).names == ["a"]
    assert (await filled("GET", CMS + "/b")).status == 404
    assert (await filled("PATCH", CMS + "/b", {"data": {"x": "y"}})).status == 404
    assert (await filled("DELETE", CMS + "/b")).status == 404
    assert (await filled("PUT", CMS + "/b", cm("b"))).status == 404
    assert (await filled("DELETE", CMS)).names == ["a"]
    filled.scope.seen = None
    assert (await filled("GET", CMS)).names == ["b", "c", "c-1", "c.1"]


class Remembering(Only):
    """A visibility that knows what it was."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.before: dict[int, tuple[str, ...]] = {}
        self.asked = 0

    def sees(self, record: Record) -> bool:
        self.asked += 1
        return super().sees(record)

    def at(self, version: int) -> Visibility:
        if version not in self.before:
            raise TooOld(version + 1)
        return Only(*self.before[version])


async def test_pages_show_one_visibility_and_no_count(filled: RangeServer) -> None:
    seen = filled.scope.seen = Remembering("a", "c", "c.1")
    first = await filled("GET", CMS + "?limit=1")
    metadata = first.json["metadata"]
    assert (first.names, "remainingItemCount" in metadata) == (["a"], False)
    await filled("POST", CMS, cm("moves-the-version"))
    seen.names, seen.before = ("b", "c.1"), {int(first.rv): ("a", "c", "c.1")}
    second = await filled("GET", CMS, query={"limit": 1, "continue": metadata["continue"]})
    last = await filled("GET", CMS, query={"limit": 1, "continue": second.json["metadata"]["continue"]})
    assert (second.names, last.names, last.json["metadata"].get("continue")) == (["c"], ["c.1"], None)
    assert (await filled("GET", CMS)).names == ["b", "c.1"]
    # A list at an old version begins with what is visible now.
    exact = {"resourceVersion": first.rv, "resourceVersionMatch": "Exact", "limit": 1}
    begun = await filled("GET", CMS, query=exact)
    seen.before[int((await filled("GET", CMS)).rv)] = seen.names
    await filled("POST", CMS, cm("moves-it-again"))
    rest = await filled("GET", CMS, query={"continue": begun.json["metadata"]["continue"]})
    assert begun.names + rest.names == ["b", "c.1"]
    seen.before = {}
    gone = await filled("GET", CMS, query={"limit": 1, "continue": metadata["continue"]})
    assert (gone.status, gone.json["reason"]) == (410, "Expired")
    assert (await filled("GET", CMS, query={"continue": gone.json["metadata"]["continue"]})).names == ["b", "c.1"]


async def test_a_page_looks_no_further_than_it_has_to(server: RangeServer) -> None:
    for number in range(100):
        assert (await server("POST", CMS, cm(f"c-{number:02d}"))).status == 201
    seen = server.scope.seen = Remembering(*(f"c-{number:02d}" for number in range(100)))
    page = await server("GET", CMS + "?limit=3")
    assert page.names == ["c-00", "c-01", "c-02"]
    assert seen.asked < 20


async def test_views_show_a_picture(filled: RangeServer) -> None:
    def picture(obj: Object) -> Object:
        return {**obj, "data": {"seen": "by view"}}

    filled.scope.shown = picture
    assert (await filled("GET", CMS + "/a")).json["data"] == {"seen": "by view"}
    assert (await filled("GET", CMS)).json["items"][0]["data"] == {"seen": "by view"}


async def test_a_wildcard_lists_and_watches_only(filled: RangeServer) -> None:
    filled.scope.cluster = None
    items = (await filled("GET", "/api/v1/configmaps")).json["items"]
    assert {i["metadata"]["annotations"]["kcp.io/cluster"] for i in items} == {"root"}
    answer = await filled("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
    assert (answer.status, answer.message) == (
        405,
        'create is not supported on resources of kind "namespaces" in the `*` logical cluster',
    )
    answer = await filled("GET", CMS)
    assert (answer.status, answer.message) == (400, "cross-cluster LIST and WATCH are required to be cross-namespace")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/configmaps/x", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/x/nosuch", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/x/y/z", 404),
        ("PUT", CMS, 405),
        ("POST", CMS + "/x", 405),
        ("HEAD", CMS, 405),
        ("FROB", CMS, 405),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("POST", THINGS + "/x/status", 405),
        ("GET", THINGS + "/x/frob", 404),
    ],
)
async def test_paths_that_are_not_there(server: RangeServer, method: str, path: str, status: int) -> None:
    assert (await server(method, path, {})).status == status


async def test_connectors_answer_for_what_is_not_stored(server: RangeServer) -> None:
    async def answer(call: Call) -> Response:
        return Response(201, orjson.dumps({"name": call.name, "subresource": call.subresource}))

    server.scope.connectors["configmaps", "token"] = answer
    assert (await server("POST", CMS + "/a/token", {})).status == 404, "the type does not name it"
    server.scope.set_apis((with_token(config_map.DEFINITION),))
    assert (await server("POST", CMS + "/a/token", {})).json == {"name": "a", "subresource": "token"}


async def test_a_subresource_is_there_for_those_who_see_its_object(server: RangeServer) -> None:
    async def answer(call: Call) -> Response:
        return Response(201, orjson.dumps({"name": call.name}))

    class Labelled:
        adds = True
        in_slices = False
        key = None

        def sees(self, record: Record) -> bool:
            return "shown" in record.head.labels

        def at(self, version: int) -> Visibility:
            return self

        def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
            return lambda: None

    for name, labels in (("seen", {"shown": ""}), ("unseen", {})):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}
        assert (await server("POST", CMS, body)).status == 201
    server.scope.connectors["configmaps", "token"] = answer
    server.scope.set_apis((with_token(config_map.DEFINITION),))
    server.scope.seen = Labelled()
    assert (await server("POST", CMS + "/seen/token", {})).status == 201
    for name in ("unseen", "missing"):
        refused = await server("POST", f"{CMS}/{name}/token", {})
        assert (refused.status, refused.json["message"]) == (404, f'configmaps "{name}" not found')


async def test_a_subresource_has_the_verbs_that_its_type_names(server: RangeServer) -> None:
    version = replace(config_map.DEFINITION.versions["v1"], subresources=frozenset({"status"}))
    for verbs, expected in ((("get",), (200, 405)), (("patch", "update"), (405, 200)), ((), (405, 405))):
        shape = replace(version, subresource_verbs={"status": verbs})
        server.scope.set_apis((config_map.DEFINITION,))
        await server("POST", CMS, {"metadata": {"name": "a"}})
        server.scope.set_apis((replace(config_map.DEFINITION, versions={"v1": shape}),))
        put = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
        found = (await server("GET", CMS + "/a/status")).status, (await server("PUT", CMS + "/a/status", put)).status
        assert found == expected, verbs


def with_token(definition: ResourceDefinition) -> ResourceDefinition:
    return replace(definition, versions={"v1": replace(definition.versions["v1"], subresources=frozenset({"token"}))})


async def test_deprecated_versions_warn_even_when_refused(server: RangeServer) -> None:
    server.scope.set_apis((*DEFINITIONS, definition_from_crd(crd(deprecated=True, deprecationWarning="things are old"))))
    assert (await server("GET", THINGS)).warnings == ["things are old"]
    assert (await server("GET", THINGS + "/none", user=User("bob"))).warnings == ["things are old"]
