"""Accepting a permission claim needs the rights that it gives away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.admission.claim_escalation import granted
from tests.support.clusters import CLUSTER, RBAC, ServedCluster
from tests.support.people import person
from tests.support.tenancies import accepted, claim
from tests.tenancy.rbac_objects import rule

CAROL = person("carol")
BINDINGS = f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha2/apibindings"
OLD_BINDINGS = BINDINGS.replace("v1alpha2", "v1alpha1")
ENTER = {"nonResourceURLs": ["/"], "verbs": ["access"]}
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
CLAIMS = (claim("", "secrets", "get", "list"), claim("", "configmaps"), claim(RBAC, "clusterrolebindings"))


async def world_with(shard: ServedCluster, *rules: Object) -> None:
    """An export of the cluster's own that claims much; carol writes bindings, and holds what is given."""
    await shard.export(CLUSTER, claims=CLAIMS)
    await shard.role(CLUSTER, "binder", ENTER, rule("get create update patch delete", "apibindings", "apis.kcp.io"), *rules)
    await shard.bind_role(CLUSTER, "binder", "binder", "carol")
    await shard.role(CLUSTER, "bind", rule("bind", "apiexports", "apis.kcp.io"))
    await shard.bind_role(CLUSTER, "bind", "bind", "carol")


def body(*claims: Object, version: str = "v1alpha2") -> Object:
    spec: Object = {"reference": {"export": {"name": "cowboys"}}, "permissionClaims": list(claims)}
    return {"apiVersion": f"apis.kcp.io/{version}", "kind": "APIBinding", "metadata": {"name": "cowboys"}, "spec": spec}


async def test_who_may_write_bindings_alone_gives_nothing_away() -> None:
    async with ServedCluster() as shard:
        await world_with(shard)
        asked = [accepted(each) for each in CLAIMS]
        status, answer = await shard.call("POST", BINDINGS, CAROL, body(*asked))
        assert status == 403
        assert answer["message"] == (
            'apibindings.apis.kcp.io "cowboys" is forbidden: user "carol" is attempting to accept permission claims for rights '
            "not currently held in the whole workspace:\n"
            '{APIGroups:[""], Resources:["configmaps"], Verbs:["*"]}\n'
            '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}\n'
            '{APIGroups:["rbac.authorization.k8s.io"], Resources:["clusterrolebindings"], Verbs:["*"]}\n'
            '{APIGroups:["rbac.authorization.k8s.io"], Resources:["clusterroles"], Verbs:["bind"]}'
        )
        query = "fieldManager=me"
        assert (await shard.call("PATCH", f"{BINDINGS}/cowboys", CAROL, body(*asked), query, content_type=APPLY))[0] == 403
        old = {"group": "", "resource": "secrets", "all": True, "state": "Accepted"}
        assert (await shard.call("POST", OLD_BINDINGS, CAROL, body(old, version="v1alpha1")))[0] == 403
        rejected = [{**each, "state": "Rejected"} for each in asked]
        assert (await shard.call("POST", BINDINGS, CAROL, body(*rejected)))[0] == 201
        patch = {"spec": {"permissionClaims": [asked[0], *rejected[1:]]}}
        assert (await shard.call("PATCH", f"{BINDINGS}/cowboys", CAROL, patch, content_type=MERGE))[0] == 403
        await shard.idle()
        whole = await whole_binding(shard)
        whole["spec"]["permissionClaims"][0]["state"] = "Accepted"
        assert (await shard.call("PUT", f"{BINDINGS}/cowboys", CAROL, whole))[0] == 403


async def whole_binding(shard: ServedCluster) -> Object:
    return (await shard.call("GET", f"{BINDINGS}/cowboys", CAROL))[1]


async def test_the_rights_have_to_be_held_in_the_whole_workspace() -> None:
    async with ServedCluster() as shard:
        await world_with(shard, rule("get", "secrets"), rule("list", "secrets", "", "one"))
        await shard.put(
            CLUSTER,
            RBAC,
            "roles",
            {"metadata": {"name": "all", "namespace": "default"}, "rules": [rule("*", "*", "*")]},
        )
        await shard.put(
            CLUSTER,
            RBAC,
            "rolebindings",
            {
                "metadata": {"name": "all", "namespace": "default"},
                "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "all"},
                "subjects": [{"kind": "User", "apiGroup": RBAC, "name": "carol"}],
            },
        )
        status, answer = await shard.call("POST", BINDINGS, CAROL, body(accepted(CLAIMS[0], matchLabels={"a": "b"})))
        assert status == 403
        assert answer["message"].endswith('\n{APIGroups:[""], Resources:["secrets"], Verbs:["list"]}')
        await shard.role(CLUSTER, "lists", rule("list", "secrets"))
        await shard.bind_role(CLUSTER, "lists", "lists", "carol")
        assert (await shard.call("POST", BINDINGS, CAROL, body(accepted(CLAIMS[0]))))[0] == 201


async def test_administrators_accept_and_others_may_touch_what_was_accepted() -> None:
    async with ServedCluster() as shard:
        await world_with(shard)
        asked = [accepted(each) for each in CLAIMS]
        assert (await shard.call("POST", BINDINGS, person("ada"), body(*asked)))[0] == 201
        path = f"{BINDINGS}/cowboys"
        label: Object = {"metadata": {"labels": {"a": "b"}}}
        assert (await shard.call("PATCH", path, CAROL, label, content_type=MERGE))[0] == 200
        await shard.idle()
        whole = await whole_binding(shard)
        whole["spec"]["permissionClaims"] = whole["spec"]["permissionClaims"][:2]
        assert (await shard.call("PUT", path, CAROL, whole))[0] == 200, "taking back needs nothing"
        await shard.idle()
        old = (await shard.call("GET", f"{OLD_BINDINGS}/cowboys", CAROL))[1]
        assert (await shard.call("PUT", f"{OLD_BINDINGS}/cowboys", CAROL, old))[0] == 200
        smuggled = {"metadata": {"annotations": {"apis.v1alpha2.kcp.io/acceptable-permission-claims": None}}}
        status, answer = await shard.call("PATCH", f"{OLD_BINDINGS}/cowboys", CAROL, smuggled, content_type=MERGE)
        assert status == 403, answer
        before = {c["resource"]: c["verbs"] for c in whole["spec"]["permissionClaims"]}
        after = {c["resource"]: c["verbs"] for c in (await whole_binding(shard))["spec"]["permissionClaims"]}
        assert after == before


@pytest.mark.parametrize("extra", [{"verbs": ["get", "update"]}, {"selector": {"matchAll": True}}])
def test_more_verbs_or_another_selector_is_another_acceptance(extra: Any) -> None:
    had = accepted(claim("", "secrets", "get"), matchLabels={"a": "b"})
    now = {**had, **extra}
    assert list(granted(body(had), body(had))) == []
    beyond = [verb for verb in now["verbs"] if verb != "get"] or ["get"]
    assert list(granted(body(now), body(had))) == [{"apiGroups": [""], "resources": ["secrets"], "verbs": beyond}]


@pytest.mark.parametrize(
    ("group", "resource", "more"),
    [
        (RBAC, "roles", [({RBAC}, {"roles"}, {"escalate"})]),
        (RBAC, "clusterroles", [({RBAC}, {"clusterroles"}, {"escalate"})]),
        (RBAC, "rolebindings", [({RBAC}, {"roles", "clusterroles"}, {"bind"})]),
        (RBAC, "clusterrolebindings", [({RBAC}, {"clusterroles"}, {"bind"})]),
        ("apis.kcp.io", "apibindings", [({"*"}, {"*"}, {"*"})]),
        ("", "secrets", []),
    ],
)
def test_a_claim_that_lets_a_provider_grant_gives_away_what_it_can_grant(group: str, resource: str, more: Sequence[Any]) -> None:
    """A provider counts as an administrator of its consumer's workspace where it writes there."""
    for verb in ("create", "update", "patch", "*", "anything"):
        _, *also = granted(body(accepted(claim(group, resource, verb))), {})
        assert [(set(r["apiGroups"]), set(r["resources"]), set(r["verbs"])) for r in also] == list(more)
    assert len(list(granted(body(accepted(claim(group, resource, "get", "list", "watch", "delete"))), {}))) == 1


def test_events_are_claimed_in_both_groups() -> None:
    found = list(granted(body(accepted(claim("", "events", "get"))), {}))
    assert [r["apiGroups"] for r in found] == [[""], ["events.k8s.io"]]
