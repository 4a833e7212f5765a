# ruff: noqa: E501  (a message of the server is one line)
import asyncio

import pytest

from tenantry.apiserver import worker_threads
from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.authorization import NO_OPINION, Attributes, Decision, Verdict
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import forbidden
from tenantry.kube.types import custom_resource_definition, service_account
from tenantry.storage.keys import Key
from tenantry.storage.record import Change
from tenantry.storage.store import CompareFailed, Indeterminate, Unavailable
from tests.apiserver.range_server import CLUSTER, RangeServer, cm, crd, start, thing
from tests.support.api import PATCHES
from tests.support.waiting import one_turn

CMS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/test.example/v1/namespaces/default/things"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@pytest.fixture(autouse=True, params=["at once", "in parts"])
def weight(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write comes to the same, whether it counts as light or as heavy."""
    if request.param == "in parts":
        monkeypatch.setattr(worker_threads, "AT_ONCE", -1)


async def test_create_fills_in_the_metadata(server: RangeServer) -> None:
    answer = await server("POST", CMS, cm("a", {"k": "v"}, uid="mine", creationTimestamp="2001-01-01T00:00:00Z", selfLink="/x"))
    metadata = answer.json["metadata"]
    assert answer.status == 201
    assert metadata["uid"] not in ("", "mine")
    assert metadata["creationTimestamp"] > "2020"
    assert metadata["namespace"] == "default"
    assert metadata["annotations"] == {"kcp.io/cluster": CLUSTER}
    assert not {"generation", "selfLink", "deletionTimestamp"} & set(metadata)
    entry = metadata["managedFields"][0]
    assert (entry["manager"], entry["operation"], entry["fieldsV1"]) == ("tests", "Update", {"f:data": {".": {}, "f:k": {}}})
    assert (await server("GET", CMS + "/a")).raw == answer.raw


async def test_create_refusals(server: RangeServer) -> None:
    await server("POST", CMS, cm("a"))
    answer = await server("POST", CMS, cm("a"))
    assert (answer.status, answer.message) == (409, 'configmaps "a" already exists')
    answer = await server("POST", CMS, cm("b", namespace="other"))
    assert answer.message == "the namespace of the provided object does not match the namespace sent on the request"
    answer = await server("POST", CMS, cm("b", resourceVersion="5"))
    assert (answer.status, answer.message) == (500, "resourceVersion should not be set on objects to be created")
    answer = await server("POST", CMS, cm("Bad_"))
    assert (answer.status, answer.json["details"]["causes"][0]["field"]) == (422, "metadata.name")
    answer = await server("POST", CMS, {"metadata": {}})
    assert answer.message == 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'


async def test_the_cluster_annotation_is_the_servers(server: RangeServer) -> None:
    created = await server("POST", CMS, cm("a", annotations={"kcp.io/cluster": "elsewhere", "mine": "x"}))
    assert created.json["metadata"]["annotations"] == {"kcp.io/cluster": CLUSTER, "mine": "x"}
    assert "kcp.io" not in str(created.json["metadata"]["managedFields"])
    patched = await server("PATCH", CMS + "/a", {"metadata": {"annotations": {"kcp.io/cluster": None}}})
    assert patched.raw == created.raw


async def test_generated_names(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    name = (await server("POST", CMS, {"metadata": {"generateName": "gen-"}})).json["metadata"]["name"]
    assert name.startswith("gen-")
    assert set(name[4:]) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert len(name) == 9
    long = (await server("POST", CMS, {"metadata": {"generateName": "l" * 70}})).json["metadata"]["name"]
    assert len(long) == 63
    tried = iter(["taken", "taken", "free", *["taken"] * 20])
    await server("POST", CMS, cm("taken"))
    monkeypatch.setattr("tenantry.apiserver.verbs.metadata.generate_name", lambda base: next(tried))
    assert (await server("POST", CMS, {"metadata": {"generateName": "gen-"}})).json["metadata"]["name"] == "free"
    answer = await server("POST", CMS, {"metadata": {"generateName": "gen-"}})
    assert (answer.status, answer.headers["Retry-After"]) == (409, "1")
    assert answer.message.endswith("the server was not able to generate a unique name for the object")


async def test_dry_runs_store_nothing(server: RangeServer) -> None:
    answer = await server("POST", CMS + "?dryRun=All", cm("a"))
    assert (answer.status, "resourceVersion" in answer.json["metadata"]) == (201, False)
    assert (await server("GET", CMS + "/a")).status == 404
    created = await server("POST", CMS, cm("a"))
    patched = await server("PATCH", CMS + "/a?dryRun=All", {"data": {"x": "y"}})
    assert (patched.rv, patched.json["data"]) == (created.rv, {"x": "y"})
    assert (await server("DELETE", CMS + "/a?dryRun=All")).json["status"] == "Success"
    assert (await server("GET", CMS + "/a")).raw == created.raw
    answer = await server("POST", CMS + "?dryRun=Some", cm("b"))
    assert (
        answer.message == 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'
    )


async def test_field_validation(server: RangeServer) -> None:
    # What is told comes in the order of the document; in a field that does not exist, nothing is told twice.
    body = b'{"metadata":{"name":"d","foo":1},"data":{"a":"1","a":"2","a":"3"},"zzz":{"b":1,"b":2},"zzz":1}'
    texts = ['unknown field "metadata.foo"', 'duplicate field "data.a"', 'unknown field "zzz"']
    assert (await server("POST", CMS + "?dryRun=All", body)).warnings == texts
    assert (await server("POST", CMS + "?dryRun=All&fieldValidation=Ignore", body)).warnings == []
    answer = await server("POST", CMS + "?dryRun=All&fieldValidation=Strict", body)
    assert (
        answer.message == f'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: {", ".join(texts)}'
    )
    answer = await server("POST", CMS + "?fieldValidation=Frob", body)
    assert answer.message == (
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Frob": '
        'supported values: "", "Ignore", "Strict", "Warn"'
    )
    await server("POST", CMS, cm("a"))
    answer = await server("PATCH", CMS + "/a?fieldValidation=Strict", {"zzz": 1})
    assert answer.status == 422
    assert answer.message.endswith('strict decoding error: unknown field "zzz"')
    assert answer.message.startswith(' "" is invalid: patch: Invalid value: ')


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (CMS, cm("n") | {"kind": "Zzz"}, 400, 'Zzz in version "v1" cannot be handled as a ConfigMap: no kind "Zzz" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"'),
        (CMS, cm("n") | {"kind": "Secret"}, 400, 'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion'),
        (CMS, cm("n") | {"apiVersion": "a/b/c"}, 400, 'the object provided is unrecognized (must be of type ConfigMap): unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c","kind":" ...)'),
        (CMS, b"", 400, "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        (CMS, b"{bad json", 400, "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character 'b' looking for beginning of object key string ({bad json)"),
        (CMS, {"metadata": {"name": 5}}, 400, 'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string'),
        (THINGS, {"metadata": {"name": "x"}}, 400, "the object provided is unrecognized (must be of type Thing): Object 'Kind' is missing in '{\"metadata\":{\"name\":\"x\"}}' ({\"metadata\":{\"name\":\"x\"}})"),
        (THINGS, thing("x") | {"apiVersion": "v7"}, 400, "the API version in the data (v7) does not match the expected API version (test.example/v1)"),
        (THINGS, thing("x") | {"kind": "Secret"}, 422, 'Secret.test.example "x" is invalid: kind: Invalid value: "Secret": must be Thing'),
        (THINGS, thing("x") | {"kind": "X", "metadata": {"name": None}}, 422, 'X.test.example "" is invalid: kind: Invalid value: "X": must be Thing'),
        (THINGS, thing("x") | {"kind": "X", "metadata": {"name": 5}}, 400, 'X in version "v1" cannot be handled as a Thing: json: cannot unmarshal number into Go struct field ObjectMeta.name of type string'),
        (THINGS, thing("x") | {"kind": "X", "metadata": []}, 400, 'X in version "v1" cannot be handled as a Thing: json: cannot unmarshal array into Go value of type v1.ObjectMeta'),
        (THINGS, thing("x") | {"kind": "X", "metadata": {"name": "x", "namespace": "y"}}, 400, "the namespace of the provided object does not match the namespace sent on the request"),
        (f"{THINGS}?fieldValidation=Strict", thing("x", unknown=1) | {"kind": "X"}, 422, 'X.test.example "x" is invalid: kind: Invalid value: "X": must be Thing'),
        (THINGS, thing("x") | {"metadata": "x"}, 400, 'Thing in version "v1" cannot be handled as a Thing: json: cannot unmarshal string into Go value of type v1.ObjectMeta'),
        (THINGS, thing("x", size="big"), 422, 'Thing.test.example "x" is invalid: spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
    ],
)  # fmt: skip
async def test_bodies_that_are_refused(server: RangeServer, path: str, body: object, status: int, message: str) -> None:
    answer = await server("POST", path, body)
    assert (answer.status, answer.message) == (status, message)


@pytest.mark.parametrize(
    ("method", "name", "metadata", "status", "message"),
    [
        ("PUT", "x", {"name": None}, 400, "the name of the object (x based on URL) was undeterminable: name must be provided"),
        ("PUT", "none", {"name": "none"}, 404, 'things.test.example "none" not found'),
        ("PUT", "x", {"name": "x"}, 422, 'things.test.example "x" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update'),
        ("PATCH", "x", {"name": "y"}, 400, "the name of the object (y) does not match the name on the URL (x)"),
        ("PATCH", "x", {}, 422, 'X.test.example "x" is invalid: kind: Invalid value: "X": must be Thing'),
    ],
)  # fmt: skip
async def test_another_kind_is_refused_after_what_is_checked_first(
    server: RangeServer, method: str, name: str, metadata: Object, status: int, message: str
) -> None:
    assert (await server("POST", THINGS, thing("x"))).status == 201
    answer = await server(method, f"{THINGS}/{name}", thing("x") | {"kind": "X", "metadata": metadata})
    assert (answer.status, answer.message) == (status, message)


async def test_a_patch_that_takes_the_version_away(server: RangeServer) -> None:
    assert (await server("POST", THINGS, thing("x"))).status == 201
    answer = await server("PATCH", f"{THINGS}/x", {"apiVersion": None})
    assert answer.status == 500
    assert answer.message == "Internal error occurred: Object 'apiVersion' is missing in 'object has no apiVersion field'"


@pytest.mark.parametrize(
    ("patch", "content", "status", "end"),
    [
        ({"apiVersion": None}, "merge", 400, "the name of the object (a based on URL) was undeterminable: name must be provided"),
        ({"apiVersion": "", "kind": ""}, "merge", 400, "the name of the object (a based on URL) was undeterminable: name must be provided"),
        ({"apiVersion": None, "kind": "X"}, "merge", 422, 'no kind "X" is registered for the internal version of group "" in scheme "pkg/runtime/scheme.go:111"'),
        ({"apiVersion": "v7", "kind": None}, "merge", 422, 'no kind "ConfigMap" is registered for version "v7" in scheme "pkg/runtime/scheme.go:111"'),
        ({"apiVersion": "a/b/c"}, "merge", 422, "unexpected GroupVersion string: a/b/c"),
        ({"apiVersion": False}, "merge", 422, "json: cannot unmarshal bool into Go struct field .apiVersion of type string"),
        ({"kind": 0}, "merge", 422, "json: cannot unmarshal number into Go struct field .kind of type string"),
        ({"kind": None, "data": {"a": "b"}}, "merge", 200, ""),
        ({"kind": "X", "apiVersion": "a/b/c", "data": {"a": "b"}}, "strategic", 200, ""),
        ({"kind": 5}, "strategic", 422, "cannot convert int64 to string"),
    ],
)  # fmt: skip
async def test_patches_that_change_the_type_of_a_built_in_object(
    server: RangeServer, patch: Object, content: str, status: int, end: str
) -> None:
    assert (await server("POST", CMS, cm("a"))).status == 201
    answer = await server("PATCH", f"{CMS}/a", patch, content_type=PATCHES[content])
    assert answer.status == status
    assert answer.json["message"].endswith(end) if status != 200 else answer.json["data"] == {"a": "b"}
    stored = (await server("GET", f"{CMS}/a")).json
    assert (stored["apiVersion"], stored["kind"]) == ("v1", "ConfigMap")


@pytest.mark.parametrize("value", [False, 0, [], {}])
async def test_a_type_that_is_empty_but_no_text(server: RangeServer, value: object) -> None:
    for path, obj in ((CMS, cm("a")), (THINGS, thing("a"))):
        for field in ("apiVersion", "kind"):
            answer = await server("POST", path, obj | {field: value})
            assert answer.status == 400
            assert f"into Go struct field .{field} of type string" in answer.message


async def test_built_in_bodies_need_no_kind(server: RangeServer) -> None:
    assert (await server("POST", CMS, {"metadata": {"name": "a"}})).status == 201
    yaml = b"metadata: {name: b}\ndata: {x: 'y'}\n"
    assert (await server("POST", CMS, yaml, content_type="application/yaml")).json["data"] == {"x": "y"}


async def test_put_and_its_preconditions(server: RangeServer) -> None:
    created = await server("POST", CMS, cm("a", {"a": "1"}))
    current = await server("PUT", CMS + "/a", cm("a", {"a": "2"}, resourceVersion=created.rv))
    assert (current.status, current.json["data"]) == (200, {"a": "2"})
    assert current.json["metadata"]["uid"] == created.json["metadata"]["uid"]
    stale = await server("PUT", CMS + "/a", cm("a", {"a": "3"}, resourceVersion=created.rv))
    assert (stale.status, stale.message) == (409, f'Operation cannot be fulfilled on configmaps "a": {MODIFIED}')
    assert (await server("PUT", CMS + "/a", cm("a", {"a": "4"}))).json["data"] == {"a": "4"}
    text = await server("PUT", CMS + "/a", cm("a", resourceVersion="abc"))
    assert (text.status, text.message) == (500, 'strconv.ParseUint: parsing "abc": invalid syntax')
    wrong = await server("PUT", CMS + "/a", cm("a", uid="0-0"))
    assert wrong.status == 409
    assert "Precondition failed: UID in precondition: 0-0, UID in object meta: " in wrong.message
    assert (await server("PUT", CMS + "/none", cm("none"))).message == 'configmaps "none" not found'
    assert (
        await server("PUT", CMS + "/a", cm("b"))
    ).message == "the name of the object (b) does not match the name on the URL (a)"
    missing = await server("PUT", CMS + "/a", {"metadata": {}})
    assert missing.message == "the name of the object (a based on URL) was undeterminable: name must be provided"


async def test_custom_resources_are_updated_with_a_version(server: RangeServer) -> None:
    created = await server("POST", THINGS, thing("a", a="1"))
    answer = await server("PUT", THINGS + "/a", thing("a", a="2"))
    assert (answer.status, answer.json["details"]["kind"]) == (422, "things")
    assert answer.message == (
        'things.test.example "a" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update'
    )
    body = thing("a", a="2")
    body["metadata"]["resourceVersion"] = created.rv
    assert (await server("PUT", THINGS + "/a", body)).json["metadata"]["generation"] == 2


async def test_leases_are_created_by_a_put(server: RangeServer) -> None:
    body = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    assert (await server("PUT", LEASES + "/l", body)).status == 201


async def test_generations(server: RangeServer) -> None:
    async def patch(body: Object, sub: str = "") -> Object:
        return (await server("PATCH", THINGS + "/g" + sub, body)).json

    created = await server("POST", THINGS, {**thing("g", a="1"), "status": {"x": 1}})
    assert created.json["metadata"]["generation"] == 1
    assert "status" not in created.json
    assert (await patch({"metadata": {"labels": {"a": "b"}}}))["metadata"]["generation"] == 1
    assert (await patch({"spec": {"a": "2"}}))["metadata"]["generation"] == 2
    assert "status" not in await patch({"status": {"x": 2}})
    status = await patch({"status": {"x": 4}, "spec": {"a": "no"}, "metadata": {"labels": {"no": "no"}}}, "/status")
    assert (status["metadata"]["generation"], status["status"], status["spec"]["a"]) == (2, {"x": 4}, "2")
    assert status["metadata"]["labels"] == {"a": "b"}
    assert (await patch({"metadata": {"generation": 50}}))["metadata"]["generation"] == 2
    scaled = await server("PATCH", THINGS + "/g/scale", {"spec": {"replicas": 3}})
    assert (scaled.json["kind"], scaled.json["spec"]) == ("Scale", {"replicas": 3})
    assert (await server("GET", THINGS + "/g")).json["metadata"]["generation"] == 3


async def test_scale(server: RangeServer) -> None:
    created = await server("POST", THINGS, thing("t", replicas=2))
    scale = (await server("GET", THINGS + "/t/scale")).json
    assert (scale["apiVersion"], scale["spec"], scale["status"]) == ("autoscaling/v1", {"replicas": 2}, {"replicas": 0})
    put = await server("PUT", THINGS + "/t/scale", {"metadata": {"name": "t"}, "spec": {"replicas": 5}})
    assert put.json["spec"] == {"replicas": 5}
    stale = {"metadata": {"name": "t", "resourceVersion": created.rv}, "spec": {"replicas": 6}}
    assert (await server("PUT", THINGS + "/t/scale", stale)).status == 409
    negative = await server("PUT", THINGS + "/t/scale", {"metadata": {"name": "t"}, "spec": {"replicas": -1}})
    assert negative.message == (
        'Thing.test.example "t" is invalid: .spec.replicas: Invalid value: -1: should be a non-negative integer'
    )
    assert (await server("POST", THINGS + "/t/scale", {})).status == 405
    unreadable = "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32"
    put = await server("PUT", THINGS + "/t/scale", {"metadata": {"name": "t"}, "spec": {"replicas": "x"}})
    assert (put.status, put.message) == (400, f'Scale in version "v1" cannot be handled as a Scale: {unreadable}')
    patch = await server("PATCH", THINGS + "/t/scale", {"spec": {"replicas": "x"}})
    assert (patch.status, patch.message.endswith(unreadable)) == (422, True)
    assert (await server("GET", THINGS + "/t/scale")).json["spec"] == {"replicas": 5}


async def test_the_fields_of_a_scale_are_checked_in_the_object(server: RangeServer) -> None:
    text = 'Thing.test.example "t" is invalid: .spec.replicas: Invalid value: -1: should be a non-negative integer'
    assert (await server("POST", THINGS, thing("t", replicas=-1))).message == text
    await server("POST", THINGS, thing("t", replicas=1))
    assert (await server("PATCH", THINGS + "/t", {"spec": {"replicas": -1}})).message == text


async def test_writes_without_a_change_keep_the_version(server: RangeServer) -> None:
    created = await server("POST", CMS, cm("a", {"a": "1"}))
    async with server.watching(CMS + "?watch=true&resourceVersion=" + created.rv) as sink:
        assert (await server("PUT", CMS + "/a", created.json)).rv == created.rv
        assert (await server("PATCH", CMS + "/a", {})).rv == created.rv
        assert (await server("PATCH", CMS + "/a", [], content_type="application/json-patch+json")).rv == created.rv
        assert (await server("PATCH", CMS + "/a?fieldManager=other", {"data": {"a": "1"}})).rv == created.rv
    assert sink.chunks == []


async def test_apply(server: RangeServer) -> None:
    async def apply(body: Object, query: str) -> object:
        return await server("PATCH", f"{CMS}/a?{query}", body, content_type="application/apply-patch+yaml")

    created = await server("PATCH", CMS + "/a?fieldManager=m1", cm("a", {"x": "1"}), content_type="application/apply-patch+yaml")
    assert created.status == 201
    again = await server("PATCH", CMS + "/a?fieldManager=m1", cm("a", {"x": "1"}), content_type="application/apply-patch+yaml")
    assert (again.status, again.rv) == (200, created.rv)
    conflict = await server("PATCH", CMS + "/a?fieldManager=m2", cm("a", {"x": "2"}), content_type="application/apply-patch+yaml")
    assert (conflict.status, conflict.message) == (409, 'Apply failed with 1 conflict: conflict with "m1": .data.x')
    forced = await server(
        "PATCH", CMS + "/a?fieldManager=m2&force=true", cm("a", {"x": "2"}), content_type="application/apply-patch+yaml"
    )
    assert forced.json["data"] == {"x": "2"}
    nobody = await server("PATCH", CMS + "/a", cm("a"), content_type="application/apply-patch+yaml")
    assert nobody.message == ('PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch')
    uid = await server("PATCH", CMS + "/b?fieldManager=m", cm("b", uid="u"), content_type="application/apply-patch+yaml")
    assert (uid.status, uid.json["reason"]) == (409, "Conflict")
    missing = await server(
        "PATCH", THINGS + "/none/status?fieldManager=m", thing("none"), content_type="application/apply-patch+yaml"
    )
    assert missing.status == 404


async def test_a_null_that_the_schema_does_not_allow(server: RangeServer) -> None:
    """It counts as missing in a body, and in an apply it is refused, unless there is a default."""
    string = {"type": "string"}
    fields: Object = {"a": string, "d": {**string, "default": "x"}, "n": {**string, "nullable": True}}
    fields["list"] = {"type": "array", "items": string}
    fields["map"] = {"type": "object", "additionalProperties": string}
    server = await start([definition_from_crd(crd(fields))])

    async def applied(spec: Object) -> tuple[int, str]:
        query = "/x?fieldManager=m&dryRun=All"
        answer = await server("PATCH", THINGS + query, thing("x", **spec), content_type="application/apply-patch+yaml")
        return answer.status, answer.message if answer.status > 300 else str(answer.json["spec"])

    for spec, field, kind in (
        ({"a": None}, "spec.a", "string"),
        ({"list": None}, "spec.list", "array"),
        ({"map": None}, "spec.map", "object"),
        ({"map": {"k": None}}, "spec.map.k", "string"),
    ):
        text = f'Invalid value: "null": {field} in body must be of type {kind}: "null"'
        assert await applied(spec) == (422, f'Thing.test.example "x" is invalid: {field}: {text}')
        assert (await server("POST", THINGS + "?dryRun=All", thing("x", **spec))).status == 201
    assert await applied({"d": None, "n": None}) == (201, "{'d': 'x', 'n': None}")


class NobodyCreates:
    def authorize(self, attributes: Attributes) -> Decision:
        return NO_OPINION if attributes.verb == "create" else Decision(Verdict.ALLOW)


async def test_what_comes_to_a_creation_must_be_allowed_to_create(server: RangeServer) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}}
    await server("POST", CMS, cm("a"))
    server.scope.authorizer = NobodyCreates()  # type: ignore[assignment]
    query = "?fieldManager=m"
    assert (await server("PATCH", CMS + "/a" + query, cm("a"), content_type="application/apply-patch+yaml")).status == 200
    refused = await server("PATCH", CMS + "/b" + query, cm("b"), content_type="application/apply-patch+yaml")
    assert refused.status == 403
    assert "cannot create resource" in refused.message
    assert (await server("PUT", LEASES + "/a", lease)).status == 403


async def test_patches(server: RangeServer) -> None:
    await server("POST", CMS, cm("a", {"a": "1"}))
    operations = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "add", "path": "/data/b", "value": "2"}]
    answer = await server("PATCH", CMS + "/a", operations, content_type="application/json-patch+json")
    assert answer.json["data"] == {"a": "1", "b": "2"}
    strategic = {"metadata": {"finalizers": ["x.example/y"]}}
    answer = await server("PATCH", CMS + "/a", strategic, content_type="application/strategic-merge-patch+json")
    assert answer.json["metadata"]["finalizers"] == ["x.example/y"]
    failed = [{"op": "test", "path": "/data/a", "value": "9"}]
    answer = await server("PATCH", CMS + "/a", failed, content_type="application/json-patch+json")
    assert (answer.status, answer.message) == (422, "the server rejected our request due to an error in our request")
    answer = await server("PATCH", CMS + "/a", b"{bad", content_type="application/merge-patch+json")
    assert (answer.status, answer.message) == (400, "invalid JSON patch")
    stale = await server("PATCH", CMS + "/a", {"metadata": {"resourceVersion": "36028797018964000"}})
    assert stale.message == f'Operation cannot be fulfilled on configmaps "a": {MODIFIED}'
    uid = await server("PATCH", CMS + "/a", {"metadata": {"uid": "no"}})
    assert uid.message == 'ConfigMap "a" is invalid: metadata.uid: Invalid value: "no": field is immutable'
    assert len(uid.json["details"]["causes"]) == 1
    # The metadata of custom resources is validated twice.
    await server("POST", THINGS, thing("a"))
    uid = await server("PATCH", THINGS + "/a", {"metadata": {"uid": "no"}})
    assert uid.message == 'Thing.test.example "a" is invalid: metadata.uid: Invalid value: "no": field is immutable'
    assert len(uid.json["details"]["causes"]) == 2
    name = await server("PATCH", CMS + "/a", {"metadata": {"name": None}})
    assert name.message == "the name of the object (a based on URL) was undeterminable: name must be provided"


async def test_patches_of_one_object_never_lose(server: RangeServer) -> None:
    await server("POST", CMS, cm("a"))
    answers = await asyncio.gather(*(server("PATCH", CMS + "/a", {"data": {f"k{i}": "v"}}) for i in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len((await server("GET", CMS + "/a")).json["data"]) == 50
    creations = await asyncio.gather(*(server("POST", CMS, cm("once")) for _ in range(5)))
    assert sorted(answer.status for answer in creations) == [201, 409, 409, 409, 409]


async def test_delete(server: RangeServer) -> None:
    created = await server("POST", CMS, cm("a"))
    uid = created.json["metadata"]["uid"]
    wrong = await server("DELETE", CMS + "/a", {"preconditions": {"uid": "other"}})
    assert (wrong.status, wrong.json["details"]["kind"]) == (409, "ConfigMap")
    assert wrong.message == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID in record '
        f"({uid}). The object might have been deleted and then recreated"
    )
    stale = await server("DELETE", CMS + "/a", {"preconditions": {"resourceVersion": "1"}})
    assert stale.message.endswith(f"({created.rv}). The object might have been modified")
    policy = await server("DELETE", CMS + "/a", {"propagationPolicy": "Frob"})
    assert policy.message.endswith('supported values: "Foreground", "Background", "Orphan", "nil"')
    both = await server("DELETE", CMS + "/a", {"propagationPolicy": "Background", "orphanDependents": True})
    assert both.message.endswith("orphanDependents and deletionPropagation cannot be both set")
    kind = await server("DELETE", CMS + "/a", {"kind": "Frob", "apiVersion": "v1"})
    assert kind.message == 'no kind "Frob" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"'
    done = await server("DELETE", CMS + "/a", {"preconditions": {"uid": uid, "resourceVersion": created.rv}})
    assert done.json["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert (await server("DELETE", CMS + "/a")).status == 404


async def test_finalizers_keep_a_deleted_object(server: RangeServer) -> None:
    await server("POST", CMS, cm("h", finalizers=["x.example/a", "x.example/b"]))
    deleted = await server("DELETE", CMS + "/h")
    assert (deleted.status, deleted.json["metadata"]["deletionGracePeriodSeconds"]) == (200, 0)
    assert (await server("DELETE", CMS + "/h")).raw == deleted.raw
    added = await server("PATCH", CMS + "/h", {"metadata": {"finalizers": ["x.example/a", "x.example/b", "x.example/c"]}})
    assert "no new finalizers can be added if the object is being deleted" in added.message
    again = await server("POST", CMS, cm("h"))
    assert again.message == 'object is being deleted: configmaps "h" already exists'
    revived = await server("PATCH", CMS + "/h", {"metadata": {"deletionTimestamp": None}})
    assert revived.rv == deleted.rv
    one = await server("PATCH", CMS + "/h", {"metadata": {"finalizers": ["x.example/b"]}})
    dry = await server("PATCH", CMS + "/h?dryRun=All", {"metadata": {"finalizers": None}})
    assert (dry.rv, (await server("GET", CMS + "/h")).status) == (one.rv, 200)
    last = await server("PATCH", CMS + "/h", {"metadata": {"finalizers": None}, "data": {"last": "words"}})
    assert (last.status, last.rv, last.json["data"]) == (200, one.rv, {"last": "words"})
    assert (await server("GET", CMS + "/h")).status == 404


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        ({"propagationPolicy": "Orphan"}, ["orphan"]),
        ({"orphanDependents": True}, ["orphan"]),
    ],
)
async def test_propagation_policies_leave_work_for_the_garbage_collector(
    server: RangeServer, options: Object, finalizers: list[str]
) -> None:
    await server("POST", CMS, cm("a"))
    deleted = (await server("DELETE", CMS + "/a", options)).json["metadata"]
    assert (deleted["finalizers"], "deletionTimestamp" in deleted) == (finalizers, True)
    assert (await server("DELETE", CMS + "/a", {"propagationPolicy": "Background"})).json["status"] == "Success"


async def test_delete_collection(server: RangeServer) -> None:
    for index in range(4):
        finalizers = ["x.example/a"] if index == 3 else None
        await server("POST", CMS, cm(f"c{index}", labels={"half": "low" if index < 2 else "high"}, finalizers=finalizers))
    assert (await server("DELETE", CMS + "?labelSelector=half%3Dlow&dryRun=All")).names == ["c0", "c1"]
    assert (await server("DELETE", CMS + "?labelSelector=half%3Dlow")).names == ["c0", "c1"]
    answer = await server("DELETE", CMS)
    assert (answer.json["kind"], answer.names) == ("ConfigMapList", ["c2", "c3"])
    left = await server("GET", CMS)
    assert left.names == ["c3"]
    assert left.json["items"][0]["metadata"]["deletionTimestamp"]


class Refusing:
    def __init__(self) -> None:
        self.reviews: list[Review] = []

    def mutate(self, review: Review) -> None:
        if review.object is not None:
            review.object["metadata"].setdefault("labels", {})["mutated"] = "yes"

    def validate(self, review: Review) -> None:
        self.reviews.append(review)
        review.warnings.append("looked at")
        if review.name == "bad":
            raise forbidden(GroupResource("", "configmaps"), "bad", "no")


async def test_admission_sees_and_changes_every_write(server: RangeServer) -> None:
    admission = Refusing()
    server.scope.admission = AdmissionChain([admission])
    created = await server("POST", CMS, cm("a"))
    assert (created.json["metadata"]["labels"], created.warnings) == ({"mutated": "yes"}, ["looked at"])
    answer = await server("POST", CMS, cm("bad"))
    assert (answer.status, answer.warnings) == (403, ["looked at"])
    await server("PATCH", CMS + "/a", {"data": {"x": "y"}})
    await server("DELETE", CMS + "/a")
    seen = [(r.operation, r.name, r.object is None, r.old_object is None) for r in admission.reviews]
    assert seen == [
        ("CREATE", "a", False, True),
        ("CREATE", "bad", False, True),
        ("UPDATE", "a", False, False),
        ("DELETE", "a", True, False),
    ]


class Counting:
    """Charges every creation to one object, as a quota does."""

    def __init__(self, server: RangeServer) -> None:
        self.server = server
        self.attempts = 0

    def mutate(self, review: Review) -> None: ...

    def validate(self, review: Review) -> None:
        self.attempts += 1
        key = Key(CLUSTER, "core/configmaps", "quota", "used")
        record = self.server.scope.range.get(key)
        count = int(record.value.split(b'"')[-2]) + 1 if record else 1
        value = b'{"metadata":{"name":"used","namespace":"quota"},"data":{"n":"%d"}}' % count
        review.changes.append(Change(key, value, None, record))


async def test_what_admission_writes_is_in_the_same_transaction(server: RangeServer) -> None:
    counting = Counting(server)
    server.scope.admission = AdmissionChain([counting])
    answers = await asyncio.gather(*(server("POST", CMS, cm(f"c{i}")) for i in range(20)))
    assert {answer.status for answer in answers} == {201}
    assert (await server("GET", "/api/v1/namespaces/quota/configmaps/used")).json["data"] == {"n": "20"}
    assert counting.attempts >= 20


async def test_catalog_copies_are_in_the_same_transaction(server: RangeServer) -> None:
    server.scope.copies = {b"/catalog/core/configmaps/root/a": b"copy"}
    await server("POST", CMS, cm("a"))
    page = await server.scope.cell.store.read(b"/catalog/", b"/catalog0")
    assert [kv.value for kv in page.kvs] == [b"copy"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Unavailable("the disk is full"), 503, "ServiceUnavailable"),
        (Indeterminate("no answer"), 504, "Timeout"),
        (CompareFailed("root", None), 503, "ServiceUnavailable"),
    ],
)
async def test_failures_of_the_store(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, reason: str
) -> None:
    def commit(*_: object) -> object:
        raise error

    monkeypatch.setattr(server.scope.cell, "commit", commit)
    answer = await server("POST", CMS, cm("a"))
    assert (answer.status, answer.json["reason"], answer.headers["Retry-After"]) == (status, reason, "1")
    assert str(error) in answer.message


async def test_a_range_that_was_lost_is_not_read(server: RangeServer) -> None:
    await server("POST", CMS, cm("a"))
    server.scope.range.owned = False
    for method, path in (("GET", CMS + "/a"), ("GET", CMS), ("GET", CMS + "?watch=true"), ("DELETE", CMS + "/a")):
        assert (await server(method, path)).status == 503


async def test_a_client_that_leaves_takes_nothing_back(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_threads, "AT_ONCE", 1_000)
    write = asyncio.create_task(server("POST", CMS, cm("a")))
    # One turn of the loop takes the call to its commit, which the next one would await.
    await one_turn()
    write.cancel()
    await server.scope.cell.writes_done([Key(CLUSTER, "core/configmaps", "default", "a")])
    assert (await server("GET", CMS + "/a")).status == 200


async def test_the_answer_to_a_deletion_has_its_version() -> None:
    """Of types that answer with the object: the version that watches show."""
    running = await start((service_account.DEFINITION,))
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    body: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}
    created = await running("POST", accounts, body)
    async with running.watching(f"{accounts}?watch=true&resourceVersion={created.rv}") as sink:
        dry = await running("DELETE", f"{accounts}/a?dryRun=All")
        assert (dry.json["kind"], dry.rv) == ("ServiceAccount", created.rv)
        deleted = await running("DELETE", f"{accounts}/a")
        assert (deleted.json["kind"], deleted.json["metadata"]["uid"]) == ("ServiceAccount", created.json["metadata"]["uid"])
        assert int(deleted.rv) > int(created.rv)
        [event] = [each for each in sink.events if each["type"] == "DELETED"]
        assert event["object"]["metadata"]["resourceVersion"] == deleted.rv
    await running.scope.cell.close()


async def test_what_the_stored_version_does_not_have_is_dropped() -> None:
    """Versions that differ in nothing but their schemas: a value is pruned by the stored one, too, and has the defaults of the
    version that it was written in."""
    definition = crd({"a": {"type": "string"}, "one": {"type": "string"}, "both": {"type": "string", "default": "1"}})
    [first] = definition["spec"]["versions"]
    text = {"type": "string"}
    fields = {"a": text, "two": text | {"default": "d"}, "both": text | {"default": "2"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    definition["spec"]["versions"] = [first, {**first, "name": "v2", "storage": False, "schema": {"openAPIV3Schema": schema}}]
    running = await start((definition_from_crd(definition),))
    second = THINGS.replace("/v1/", "/v2/")
    old = await running("POST", THINGS, thing("old", a="x", one="1", two="2"))
    assert old.json["spec"] == {"a": "x", "one": "1", "both": "1"}
    new = await running("POST", second, thing("new", a="x", one="1", two="2") | {"apiVersion": "test.example/v2"})
    assert (new.json["apiVersion"], new.json["spec"]) == ("test.example/v2", {"a": "x", "both": "2"})
    # The owner of what was dropped is still there.
    assert "f:two" in str(new.json["metadata"]["managedFields"])
    assert (await running("GET", f"{THINGS}/new")).json["spec"] == {"a": "x", "both": "2"}
    assert (await running("GET", f"{second}/old")).json["spec"] == {"a": "x", "both": "1"}
    patched = await running("PATCH", f"{second}/old", {"spec": {"two": "mine"}})
    assert patched.json["spec"] == {"a": "x", "both": "1"}
    assert (await running("GET", f"{THINGS}/old")).json["spec"] == {"a": "x", "both": "1"}
    await running.scope.cell.close()


async def test_what_can_be_read_is_not_deleted_as_unreadable(server: RangeServer) -> None:
    """ignoreStoreReadErrorWithClusterBreakingPotential is for what the store holds in pieces."""
    unreadable = "ignoreStoreReadErrorWithClusterBreakingPotential"
    await server("POST", CMS, cm("a"))
    for query, body in ((f"?{unreadable}=true", None), ("", {unreadable: True}), (f"?dryRun=All&{unreadable}=true", None)):
        answer = await server("DELETE", f"{CMS}/a{query}", body)
        assert (answer.status, answer.json["reason"]) == (409, "Conflict")
        assert answer.message.endswith("unsafe deletion is not allowed because the object is decodable from storage")
    for other, value in (
        ("propagationPolicy", "Background"),
        ("orphanDependents", True),
        ("gracePeriodSeconds", 0),
        ("preconditions", {"uid": "x"}),
    ):
        answer = await server("DELETE", f"{CMS}/a", {unreadable: True, other: value})
        text = f'DeleteOptions.meta.k8s.io "" is invalid: {unreadable}: Invalid value: true: cannot be set together with .{other}'
        assert (answer.status, answer.message) == (422, text)
    answer = await server("DELETE", f"{CMS}?{unreadable}=true")
    text = "is not allowed with DELETECOLLECTION, try again after removing the option"
    assert (answer.status, answer.message.endswith(text)) == (422, True)
    assert (await server("DELETE", f"{CMS}/none?{unreadable}=true")).status == 404
    assert (await server("DELETE", f"{CMS}/a?{unreadable}=false")).status == 200


async def test_numbers_are_stored_as_go_writes_them() -> None:
    running = await start((definition_from_crd(crd({"n": {"type": "array", "items": {"type": "number"}}})),))
    sent = b'{"apiVersion":"test.example/v1","kind":"Thing","metadata":{"name":"n"},"spec":{"n":[1.0,1e20,1e21,1e-7,-0.0,0.5]}}'
    created = await running("POST", THINGS, sent)
    assert b'"n":[1,100000000000000000000,1e+21,1e-7,0,0.5]' in created.raw
    assert (await running("GET", f"{THINGS}/n")).raw == created.raw
    # Nothing changes where the same numbers are written in another way.
    patched = await running("PATCH", f"{THINGS}/n", {"spec": {"n": [1, 1e20, 1e21, 1e-7, 0, 0.5]}})
    assert patched.raw == created.raw
    await running.scope.cell.close()


async def test_texts_of_refused_patches_show_the_object_as_kube_apiserver_does(server: RangeServer) -> None:
    await server("POST", THINGS, thing("x"))
    assert (await server("GET", THINGS + "/x")).json["metadata"]["annotations"] == {"kcp.io/cluster": CLUSTER}
    for annotations in ({}, {"a": "b"}):
        await server("PATCH", THINGS + "/x", {"metadata": {"annotations": annotations}})
        refused = await server("PATCH", THINGS + "/x?fieldValidation=Strict", {"zzz": 1})
        assert refused.status == 422 and "kcp.io" not in refused.message
        assert ("annotations" in refused.message) is bool(annotations)
    for odd in ({"metadata": None}, {"metadata": {"annotations": None}}, {"metadata": {"annotations": {"kcp.io/cluster": None}}}):
        assert (await server("PATCH", THINGS + "/x?fieldValidation=Strict", {**odd, "zzz": 1})).status == 422


async def test_the_status_of_a_definition_takes_a_condition_twice_and_labels() -> None:
    """Unlike a custom resource, in which a list of type map has no item twice, and unlike the status of other types."""
    server = await start([custom_resource_definition.DEFINITION])
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec: Object = {
        "group": "test.example",
        "names": {"plural": "others", "kind": "Other"},
        "scope": "Namespaced",
        "versions": [version],
    }
    made = await server("POST", path, {"metadata": {"name": "others.test.example"}, "spec": spec})
    assert made.status == 201, made.message
    found: list[Object] = []
    for status in ("True", "False"):
        found.append({"type": "Mine", "status": status})
        answer = await server("PATCH", f"{path}/others.test.example/status", {"status": {"conditions": found}})
        assert answer.status == 200, answer.message
        assert [condition["status"] for condition in answer.json["status"]["conditions"]] == [each["status"] for each in found]
    changed: Object = {"metadata": {"labels": {"a": "b"}}, "spec": {"scope": "Cluster"}}
    answer = await server("PATCH", f"{path}/others.test.example/status", changed)
    assert (answer.json["metadata"]["labels"], answer.json["spec"]["scope"]) == ({"a": "b"}, "Namespaced")


async def test_a_body_in_another_version_is_pruned_by_that_version_first(server: RangeServer) -> None:
    """It is refused, and the client learns which of its fields the version does not have."""
    other = {"apiVersion": "test.example/v9", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"a": 1}}
    does_not_match = "the API version in the data (test.example/v9) does not match the expected API version (test.example/v1)"
    unknown = 'unknown field "spec"'
    for validation, message, warned in (
        ("Warn", does_not_match, True),
        ("Ignore", does_not_match, False),
        ("Strict", f'Thing in version "v9" cannot be handled as a Thing: strict decoding error: {unknown}', False),
    ):
        answer = await server("POST", f"{THINGS}?fieldValidation={validation}", other)
        assert (answer.status, answer.message, answer.warnings == [unknown]) == (400, message, warned)
    await server("POST", THINGS, thing("x"))
    patched = await server("PATCH", THINGS + "/x", {"apiVersion": "test.example/v9"})
    assert (patched.status, patched.warnings) == (422, [unknown])
    strict = await server("PATCH", THINGS + "/x?fieldValidation=Strict", {"apiVersion": "test.example/v9"})
    assert (strict.status, strict.warnings) == (422, []) and strict.message.endswith(f"strict decoding error: {unknown}")


async def test_a_patch_decodes_managed_fields_that_it_changes(server: RangeServer) -> None:
    created = (await server("POST", CMS, cm("a", {"k": "v"}))).json
    sent = {**created["metadata"]["managedFields"][0], "manager": "other", "time": "2001-01-01T01:00:00+01:00", "unknown": 1}
    patched = await server("PATCH", CMS + "/a", {"metadata": {"managedFields": [sent]}})
    entries = patched.json["metadata"]["managedFields"]
    assert [(entry["manager"], entry["time"]) for entry in entries if "unknown" not in entry] == [
        ("other", "2001-01-01T00:00:00Z")
    ]
    wrong = await server("PATCH", CMS + "/a", {"metadata": {"managedFields": [{**sent, "time": 1}]}})
    assert (wrong.status, wrong.json["reason"]) == (422, "Invalid")
    left_alone = await server("PATCH", CMS + "/a", {"immutable": "x"})
    assert left_alone.status == 422
    assert "managedFields" in left_alone.message
