"""What webhooks and policies of a provider learn of a consumer's workspace, on the provider's shard and on another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tenantry.apiserver.user import User, make_extra, of_cluster, service_account_groups, service_account_name, with_home
from tenantry.kube.objects import Object
from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard, accepted, claim
from tests.support.webhooks import WebhookServer, rule
from tests.tenancy.admission.test_webhooks import calling, install

GROUP = "admissionregistration.k8s.io"
PROVIDER, CONSUMER, ELSEWHERE = "rprovider0000000", "rconsumer0000000", "900consumer00000"
COWBOYS = rule("cowboys", group="wild.west")
OWN = "authorizer.group('wild.west').resource('cowboys').namespace('default').check('delete')"
SECRETS = "authorizer.group('').resource('secrets').namespace('default').check('get')"
ROBOT = "authorizer.serviceAccount('default', 'robot').group('wild.west').resource('cowboys').check('get')"
PATH = "authorizer.path('/metrics').check('get')"
LABELS = "namespaceObject.metadata.labels.map(key, key + '=' + namespaceObject.metadata.labels[key]).join(',')"
COPIED = {
    "labels": LABELS,
    "notes": "has(namespaceObject.metadata.annotations) ? namespaceObject.metadata.annotations['note'] : ''",
    "phase": "has(namespaceObject.status.phase) ? namespaceObject.status.phase : ''",
    "user": "request.userInfo.username",
    "groups": "has(request.userInfo.groups) ? request.userInfo.groups.join(',') : ''",
    "extra": "has(request.userInfo.extra) ? request.userInfo.extra.map(key, key).join(',') : ''",
    **{name: f"string({text}.allowed())" for name, text in (("own", OWN), ("secrets", SECRETS), ("path", PATH))},
    "robot": f"{ROBOT}.errored() ? {ROBOT}.error() : ''",
}
"""What the provider's policies write into annotations of its consumers' objects, where it reads them."""
NAMESPACES = claim("", "namespaces", "get")
REVIEWS = claim("authorization.k8s.io", "subjectaccessreviews", "create")
REFUSED = "the workspace does not share this with the provider of the API"


@pytest.fixture
def hooks() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


async def provide(shard: ServedShard, *claims: Object) -> None:
    await shard.cluster(PROVIDER, "root:provider")
    await shard.export(PROVIDER, claims=claims)
    for name, text in COPIED.items():
        patch = f"Object{{metadata: Object.metadata{{annotations: {{'seen/{name}': {text}}}}}}}"
        spec = {
            "matchConstraints": {"resourceRules": [COWBOYS]},
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": patch}}],
        }
        await make(shard, "mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
        await make(shard, "mutatingadmissionpolicybindings", {"metadata": {"name": name}, "spec": {"policyName": name}})


async def make(shard: ServedShard, plural: str, obj: Object) -> None:
    status, answer = await shard.call("POST", f"/clusters/{PROVIDER}/apis/{GROUP}/v1/{plural}", MASTER, obj)
    assert status == 201, answer


async def consume(shard: ServedShard, cluster: str, *claims: Object) -> None:
    await shard.until(lambda: shard.identity(PROVIDER, "cowboys"))
    await shard.cluster(cluster, owner="ann")
    metadata = {"name": "default", "uid": "u", "labels": {"team": "secret"}, "annotations": {"note": "private"}}
    namespace = {"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    await shard.put(cluster, "", "namespaces", namespace)
    await shard.bind(cluster, PROVIDER, "cowboys", claims=claims)


async def created(shard: ServedShard, cluster: str, who: User = MASTER, name: str = "one") -> dict[str, str]:
    """What the provider reads of a new object."""
    path = f"/clusters/{cluster}/apis/wild.west/v1/namespaces/default/cowboys"
    body = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": name}}
    status, answer = await shard.call("POST", path, who, body)
    assert status == 201, answer
    annotations = answer["metadata"]["annotations"]
    return {name: annotations[f"seen/{name}"] for name in COPIED}


@asynccontextmanager
async def shards(**settings: Any) -> AsyncIterator[tuple[ServedShard, ServedShard]]:
    async with (
        ServedShard(whole_admission=True, **settings) as here,
        ServedShard(store=here.store, name="there", whole_admission=True, **settings) as there,
    ):
        yield here, there


ON_BOTH = pytest.mark.parametrize("consumer", [CONSUMER, ELSEWHERE], ids=["the provider's shard", "another shard"])


@ON_BOTH
async def test_what_a_consumer_did_not_share_is_in_no_policys_reach(consumer: str) -> None:
    async with shards() as (here, there):
        await provide(here, NAMESPACES, REVIEWS)
        shard = here if consumer == CONSUMER else there
        await consume(shard, consumer)
        seen = await created(shard, consumer, person("ann", "staff"))
        assert seen == {
            "labels": "kubernetes.io/metadata.name=default",
            "notes": "",
            "phase": "",
            "user": "ann",
            "groups": "staff,system:authenticated",
            "extra": "",
            "own": "true",
            "secrets": "false",
            "path": "false",
            "robot": REFUSED,
        }


@ON_BOTH
async def test_accepted_claims_say_what_is_shared(consumer: str) -> None:
    async with shards() as (here, there):
        await provide(here, NAMESPACES, REVIEWS)
        shard = here if consumer == CONSUMER else there
        await consume(shard, consumer, accepted(NAMESPACES), accepted(REVIEWS))
        seen = await created(shard, consumer)
        assert seen["labels"].startswith("team=secret") and seen["notes"] == "private" and seen["phase"] == "Active"
        assert (seen["own"], seen["secrets"], seen["path"], seen["robot"]) == ("true", "true", "true", "")


@pytest.mark.parametrize(
    ("claimed", "given"),
    [
        pytest.param((NAMESPACES,), [accepted(NAMESPACES, matchLabels={"team": "other"})], id="a selector"),
        pytest.param((claim("", "namespaces", "list"),), [accepted(claim("", "namespaces", "list"))], id="another verb"),
        pytest.param((claim("", "namespaces", "*"),), [accepted(NAMESPACES)], id="verbs that differ"),
        pytest.param((NAMESPACES,), [{**accepted(NAMESPACES), "state": "Rejected"}], id="a rejected claim"),
        pytest.param((), [accepted(NAMESPACES)], id="what is not claimed"),
    ],
)
async def test_a_namespace_is_shared_as_the_view_would_show_it(claimed: Sequence[Object], given: Sequence[Object]) -> None:
    async with ServedShard(whole_admission=True) as shard:
        await provide(shard, *claimed)
        await consume(shard, CONSUMER, *given)
        seen = await created(shard, CONSUMER)
        assert (seen["labels"], seen["notes"], seen["phase"]) == ("kubernetes.io/metadata.name=default", "", "")


async def test_what_is_shared_with_one_provider_is_not_with_another() -> None:
    async with ServedShard(whole_admission=True) as shard:
        await provide(shard, NAMESPACES)
        await shard.cluster("rother0000000000", "root:other")
        await shard.export("rother0000000000", "sheep", claims=[NAMESPACES])
        await consume(shard, CONSUMER)
        await shard.bind(CONSUMER, "rother0000000000", "sheep", claims=[accepted(NAMESPACES)])
        assert (await created(shard, CONSUMER))["notes"] == ""


async def test_nobody_takes_a_name_of_the_providers_people() -> None:
    name = service_account_name("default", "robot")
    account = User(name, (*service_account_groups("default"), "system:masters", "system:authenticated"))
    private = make_extra({"example.com/session": ["7"]})
    async with ServedShard(whole_admission=True) as shard:
        await provide(shard)
        await consume(shard, CONSUMER)
        foreign = await created(shard, CONSUMER, with_home(account, CONSUMER), "a")
        assert foreign["user"] == f"system:kcp:serviceaccount:{CONSUMER}:default:robot"
        assert foreign["groups"] == f"system:authenticated,system:cluster:{CONSUMER}"
        of_the_workspace = await created(shard, CONSUMER, of_cluster(person("ann", "owners"), CONSUMER), "b")
        assert of_the_workspace["user"] == "system:anonymous" and "owners" not in of_the_workspace["groups"]
        known = await created(shard, CONSUMER, User("ann", person("ann").groups, "", private), "c")
        assert (known["user"], known["extra"]) == ("ann", "")


async def test_a_workspace_hides_nothing_from_its_own_policies() -> None:
    async with ServedCluster() as cluster:
        await cluster.patch("namespaces", "default", {"metadata": {"labels": {"team": "a"}}}, "")
        validations = [
            {"expression": "namespaceObject.metadata.labels['team'] == 'a'"},
            {"expression": f"{SECRETS}.allowed()"},
            {"expression": "request.userInfo.extra['example.com/session'] == ['7']"},
        ]
        rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
        spec = {"matchConstraints": {"resourceRules": rules}, "validations": validations}
        for plural, obj in (
            ("validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec}),
            (
                "validatingadmissionpolicybindings",
                {"metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}},
            ),
        ):
            status, answer = await cluster.call("POST", f"/clusters/{CLUSTER}/apis/{GROUP}/v1/{plural}", MASTER, obj)
            assert status == 201, answer
        who = User(MASTER.name, MASTER.groups, "", make_extra({"example.com/session": ["7"]}))
        await cluster.post("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}, who=who)


@ON_BOTH
async def test_webhooks_of_a_provider_learn_as_little(consumer: str, hooks: WebhookServer) -> None:
    selecting: dict[str, Any] = {"namespaceSelector": {"matchLabels": {"team": "secret"}}}
    asking: dict[str, Any] = {"matchConditions": [{"name": "x", "expression": f"{SECRETS}.allowed()"}]}
    async with calling() as calls, shards(webhooks=calls) as (here, there):
        await provide(here, NAMESPACES, REVIEWS)
        listed = [
            hooks.webhook("all", rules=[COWBOYS]),
            hooks.webhook("selecting", rules=[COWBOYS], **selecting),
            hooks.webhook("asking", rules=[COWBOYS], **asking),
        ]
        for kind in ("mutating", "validating"):
            await install(here, kind, "guard", *listed, at=PROVIDER)
        shard = here if consumer == CONSUMER else there
        await consume(shard, consumer)
        await created(shard, consumer, of_cluster(person("ann"), consumer))
        assert {request["userInfo"]["username"] for request in hooks.asked("all")} == {"system:anonymous"}
        assert not any("extra" in request["userInfo"] for request in hooks.asked("all"))
        assert (len(hooks.asked("all")), len(hooks.asked("selecting")), len(hooks.asked("asking"))) == (2, 0, 0)
        _, binding = await shard.call("GET", f"/clusters/{consumer}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys", MASTER)
        binding["spec"]["permissionClaims"] = [accepted(NAMESPACES), accepted(REVIEWS)]
        path = f"/clusters/{consumer}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys"
        assert (await shard.call("PUT", path, MASTER, binding))[0] == 200
        await created(shard, consumer, name="two")
        assert (len(hooks.asked("all")), len(hooks.asked("selecting")), len(hooks.asked("asking"))) == (4, 2, 2)
