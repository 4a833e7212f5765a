"""Mutating admission policies in effect, on all that one process is made of."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver.user import User
from tenantry.apiserver.worker_threads import workers
from tenantry.kube.objects import Object
from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person

REFUSED = Path(__file__).parents[2] / "cases" / "admission" / "mutating_policies.jsonl"
GROUP = "/apis/admissionregistration.k8s.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/m.example/v1/namespaces/default/things"
MERGE = "application/merge-patch+json"


class Place:
    """A workspace."""

    def __init__(self, stack: Stack, cluster: str) -> None:
        self.stack = stack
        self.cluster = cluster

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: str = "",
        *,
        content_type: str = "application/json",
        who: User = MASTER,
    ) -> tuple[int, Any]:
        path = f"/clusters/{self.cluster}{path}"
        return await self.stack.call(method, path, who, body, query, content_type=content_type)

    async def made(self, path: str, body: Object) -> Object:
        status, answer = await self.send("POST", path, body)
        assert status == 201, answer
        return dict(answer)

    async def policy(self, name: str, *mutations: str, bindings: tuple[Object, ...] = ({},), **spec: Any) -> None:
        """A text that begins with a bracket is a JSON patch."""
        listed = [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
            if text.startswith("[")
            else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
            for text in mutations
        ]
        spec = {"matchConstraints": {"resourceRules": [rule("configmaps")]}, "reinvocationPolicy": "Never"} | spec
        await self.made(f"{GROUP}/mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec | {"mutations": listed}})
        for place, binding in enumerate(bindings):
            await self.made(
                f"{GROUP}/mutatingadmissionpolicybindings",
                {"metadata": {"name": f"{name}-{place}"}, "spec": {"policyName": name} | binding},
            )

    async def config_map(self, name: str = "x", **data: str) -> Object:
        return await self.made(CONFIG_MAPS, {"metadata": {"name": name}, "data": data})


def rule(resources: str, group: str = "", versions: str = "*", operations: str = "*") -> Object:
    return {"apiGroups": [group], "apiVersions": [versions], "operations": [operations], "resources": resources.split(",")}


@asynccontextmanager
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with running(tmp_path) as stack:
        yield Place(stack, await stack.workspace("root", "home"))


async def things(here: Place) -> None:
    fields = {"replicas": {"type": "integer"}, "color": {"type": "string"}, "extra": {"type": "string", "default": "d"}}
    schema = {"properties": {name: {"type": "object", "properties": fields} for name in ("spec", "status")}}
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1",
            "schema": {"openAPIV3Schema": {"type": "object"} | schema},
            "subresources": {"status": {}, "scale": scale},
        }
        for name in ("v1", "v1beta1")
    ]
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": "m.example", "scope": "Namespaced", "names": names, "versions": versions}
    await here.made(CRDS, {"metadata": {"name": "things.m.example"}, "spec": spec})

    async def served() -> bool | None:
        return (await here.send("GET", THINGS))[0] == 200 or None

    await here.stack.eventually(served)


async def test_every_way_to_write_is_changed(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.config_map("before", a="1")
        await here.policy("adds", "Object{data: {'by': request.operation}}")
        assert (await here.config_map(a="1"))["data"] == {"a": "1", "by": "CREATE"}
        x = f"{CONFIG_MAPS}/x"
        for method, body, query, content_type in (
            ("PUT", {"metadata": {"name": "x"}, "data": {"a": "2"}}, "", "application/json"),
            ("PATCH", {"data": {"a": "2", "by": "me"}}, "", MERGE),
            (
                "PATCH",
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "2"}},
                "fieldManager=m&force=true",
                "application/apply-patch+yaml",
            ),
            ("PUT", {"metadata": {"name": "x"}, "data": {"a": "2"}}, "dryRun=All", "application/json"),
        ):
            status, answer = await here.send(method, x, body, query, content_type=content_type)
            assert status == 200 and answer["data"] == {"a": "2", "by": "UPDATE"}, answer
        # What is there already changes when it is written.
        assert "by" not in (await here.send("GET", f"{CONFIG_MAPS}/before"))[1]["data"]


@pytest.mark.parametrize(
    "mutation",
    [
        "Object{metadata: Object.metadata{namespace: 'kube-system'}}",
        "[JSONPatch{op: 'replace', path: '/metadata/namespace', value: 'kube-system'}]",
    ],
)
async def test_an_object_cannot_be_moved_to_another_namespace(tmp_path: Path, mutation: str) -> None:
    async with place(tmp_path) as here:
        await here.policy("moves", mutation)
        status, answer = await here.send("POST", CONFIG_MAPS, {"metadata": {"name": "x"}})
        text = "the namespace of the provided object does not match the namespace sent on the request"
        assert (status, answer["message"]) == (400, text)


async def test_who_sets_a_field_by_a_policy_owns_nothing(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.policy("adds", "Object{data: {'by': 'policy'}}")
        [entry] = (await here.config_map(a="1"))["metadata"]["managedFields"]
        assert entry["fieldsV1"] == {"f:data": {".": {}, "f:a": {}}}


async def test_a_policy_without_binding_and_a_deleted_one_do_nothing(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.policy("unbound", "Object{data: {'by': 'policy'}}", bindings=())
        assert (await here.config_map("one", a="1"))["data"] == {"a": "1"}
        await here.made(
            f"{GROUP}/mutatingadmissionpolicybindings", {"metadata": {"name": "b"}, "spec": {"policyName": "unbound"}}
        )
        assert (await here.config_map("two", a="1"))["data"] == {"a": "1", "by": "policy"}
        assert (await here.send("DELETE", f"{GROUP}/mutatingadmissionpolicies/unbound"))[0] == 200
        assert (await here.config_map("three", a="1"))["data"] == {"a": "1"}


async def test_each_sees_what_others_made_and_one_that_wants_it_sees_all(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        step = "Object{{data: {{'order': object.?data.?order.orValue('') + '{}'}}}}"
        await here.policy("a", step.format("a"), reinvocationPolicy="IfNeeded")
        await here.policy("b", step.format("b"), bindings=({}, {}))
        assert (await here.config_map())["data"] == {"order": "abba"}


async def test_failures_refuse_or_are_ignored(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.policy("first", "Object{data: {'a': object.data.none}}", "Object{data: {'b': '1'}}")
        await here.policy("second", "Object{data: {'c': object.data.none}}", failurePolicy="Ignore")
        status, answer = await here.send("POST", CONFIG_MAPS, {"metadata": {"name": "x"}, "data": {"k": "v"}})
        text = "expression 'Object{data: {'a': object.data.none}}' resulted in error: no such key: none"
        message = f"policy 'first' with binding 'first-0' denied request: {text}"
        assert (status, answer["reason"], answer["message"]) == (403, "Invalid", message)
        assert answer["details"] == {"name": "x", "kind": "configmaps", "causes": [{"message": message}]}
        assert (await here.send("DELETE", f"{GROUP}/mutatingadmissionpolicies/first"))[0] == 200
        assert (await here.config_map(k="v"))["data"] == {"k": "v"}


async def test_the_result_is_validated(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.policy("renames", "Object{metadata: Object.metadata{name: 'Bad Name'}}")
        status, answer = await here.send("POST", CONFIG_MAPS, {"metadata": {"name": "x"}})
        assert status == 422 and "metadata.name" in answer["message"]


async def test_an_object_may_be_renamed_when_it_is_created(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.policy("renames", "Object{metadata: Object.metadata{name: 'renamed'}}")
        assert (await here.config_map("x"))["metadata"]["name"] == "renamed"
        assert [(await here.send("GET", f"{CONFIG_MAPS}/{name}"))[0] for name in ("x", "renamed")] == [404, 200]
        assert (await here.send("POST", CONFIG_MAPS, {"metadata": {"name": "y"}}))[0] == 409


async def test_what_users_may_not_set_stays(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await here.policy("claims", "Object{metadata: Object.metadata{annotations: {'kcp.io/cluster': 'other', 'a': 'b'}}}")
        assert (await here.config_map())["metadata"]["annotations"] == {"kcp.io/cluster": here.cluster, "a": "b"}


async def test_policies_do_not_change_what_configures_them(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        everything = {"resourceRules": [rule("*", "*")]}
        labels = "Object{metadata: Object.metadata{labels: {'by': 'policy'}}}"
        await here.policy("all", labels, matchConstraints=everything)
        await here.policy("another", labels, matchConstraints=everything)
        found = (await here.send("GET", f"{GROUP}/mutatingadmissionpolicies/another"))[1]
        assert "labels" not in found["metadata"]
        assert (await here.config_map())["metadata"]["labels"] == {"by": "policy"}


async def test_parameters_come_from_memory(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        for name, value in (("one", "1"), ("two", "2")):
            body = {"metadata": {"name": name, "labels": {"set": "p"}}, "data": {"v": value}}
            await here.made(CONFIG_MAPS, body)
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        chosen = {"selector": {"matchLabels": {"set": "p"}}, "parameterNotFoundAction": "Deny"}
        text = "Object{data: {params.metadata.name: params.data.v}}"
        await here.policy("p", text, bindings=({"paramRef": chosen},), paramKind=kind)
        assert (await here.config_map())["data"] == {"one": "1", "two": "2"}


async def test_custom_types_versions_and_subresources(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        await things(here)
        only = {"resourceRules": [rule("things", "m.example", "v1beta1")]}
        await here.policy("other", "Object{spec: Object.spec{color: object.apiVersion}}", matchConstraints=only)
        made = await here.made(THINGS, {"apiVersion": "m.example/v1", "kind": "Thing", "metadata": {"name": "x"}})
        assert made["apiVersion"] == "m.example/v1" and made["spec"] == {"color": "m.example/v1beta1", "extra": "d"}
        parts = {"resourceRules": [rule("things/scale,things/status", "m.example")]}
        more = "Object{spec: Object.spec{replicas: object.spec.?replicas.orValue(0) + 10}}"
        await here.policy("part", more, matchConstraints=parts)
        status, scale = await here.send("PATCH", f"{THINGS}/x/scale", {"spec": {"replicas": 2}}, content_type=MERGE)
        assert status == 200 and scale["spec"]["replicas"] == 12, scale
        status, found = await here.send("PATCH", f"{THINGS}/x/status", {"status": {"color": "s"}}, content_type=MERGE)
        # The endpoint of the status changes no spec, whoever sets it.
        assert status == 200 and found["status"]["color"] == "s" and found["spec"]["replicas"] == 12, found


async def test_what_takes_long_is_made_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []
    run = workers.run

    async def counted(tenant: str, function: Callable[[], Any], **options: Any) -> Any:
        jobs.append(tenant)
        return await run(tenant, function, **options)

    async with place(tmp_path) as here:
        await here.policy("adds", "Object{data: {'by': 'policy'}}")
        await here.config_map("small", a="1")
        monkeypatch.setattr(workers, "run", counted)
        await here.config_map("small-again", a="1")
        assert jobs == []
        large = await here.config_map("large", **{f"k{number}": "v" for number in range(1_500)})
        assert large["data"]["by"] == "policy" and len(large["data"]) == 1_501
        assert here.cluster in jobs


async def test_many_policies_of_a_tenant_are_read_in_a_thread(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        padding = " " * 20_000
        for number in range(3):
            await here.policy(f"p{number}", f"Object{{data: {{'p{number}': '1'}}}}{padding}")
        assert sorted((await here.config_map())["data"]) == ["p0", "p1", "p2"]


async def test_only_who_may_read_parameters_refers_to_them(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        rules = [
            {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["/"], "verbs": ["access"]},
        ]
        await here.made(f"{rbac}/clusterroles", {"metadata": {"name": "policies"}, "rules": rules})
        subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "alice"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "policies"}
        body = {"metadata": {"name": "policies"}, "roleRef": reference, "subjects": [subject]}
        await here.made(f"{rbac}/clusterrolebindings", body)
        alice = person("alice")
        shown = f"&{{alice {alice.uid} [{' '.join(alice.groups)}] map[]}}"
        spec = {
            "matchConstraints": {"resourceRules": [rule("configmaps")]},
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}],
            "paramKind": {"apiVersion": "v1", "kind": "Secret"},
        }
        policy = {"metadata": {"name": "p"}, "spec": spec}
        status, answer = await here.send("POST", f"{GROUP}/mutatingadmissionpolicies", policy, who=alice)
        assert (status, [(cause["field"], cause["message"]) for cause in answer["details"]["causes"]]) == (
            422,
            [
                (
                    "spec.paramKind",
                    f'Forbidden: user {shown} must have "get" permission on all objects of the referenced paramKind '
                    "(kind=Secret, apiVersion=v1)",
                )
            ],
        )
        await here.made(f"{GROUP}/mutatingadmissionpolicies", policy)
        for name, references, text in (
            ("p", {"name": "a"}, f'user get does not have "{shown}" permission on the object referenced by paramRef'),
            ("p", {"selector": {}}, f'user list does not have "{shown}" permission on the object referenced by paramRef'),
            (
                "none",
                {"name": "a"},
                f"unable to get policy none to determine minimum required permissions and user {shown} does not have "
                '"get" permission for all groups, versions and resources',
            ),
        ):
            binding: Object = {"policyName": name, "paramRef": references | {"parameterNotFoundAction": "Deny"}}
            body = {"metadata": {"name": "b"}, "spec": binding}
            status, answer = await here.send("POST", f"{GROUP}/mutatingadmissionpolicybindings", body, who=alice)
            assert status == 422 and answer["details"]["causes"][0]["message"] == f"Forbidden: {text}"
        # What does not refer to parameters is nobody's secret, and what stays as it was is not asked about again.
        body = {"metadata": {"name": "b"}, "spec": {"policyName": "p"}}
        assert (await here.send("POST", f"{GROUP}/mutatingadmissionpolicybindings", body, who=alice))[0] == 201
        labels = {"metadata": {"labels": {"a": "b"}}}
        path = f"{GROUP}/mutatingadmissionpolicies/p"
        assert (await here.send("PATCH", path, labels, content_type=MERGE, who=alice))[0] == 200


async def test_policies_are_refused_as_by_a_kube_apiserver() -> None:
    """What 1.37.2 answered to policies and bindings, most of which are wrong."""
    cases = [json.loads(line) for line in REFUSED.read_text().splitlines()]
    assert len(cases) >= 100
    wrong = []
    async with ServedCluster() as shard:
        for case in cases:
            path = f"/clusters/{CLUSTER}{GROUP}/{case['resource']}"
            status, answer = await shard.call("POST", path, MASTER, case["body"], "dryRun=All")
            found = answer["spec"] if status == 201 else answer["message"]
            if (status, found) != (case["code"], case.get("spec", case.get("message"))):
                wrong.append((case["body"], found))
    assert not wrong, wrong[:3]
