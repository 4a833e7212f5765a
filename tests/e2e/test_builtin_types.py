"""Kubernetes' built-in types in a workspace: what each does beyond being stored."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.e2e.people import ACCESS, Person, bind, grant, rule
from tests.support.api import CONFIG_MAPS, CRDS, NAMESPACES, RBAC, SECRETS, SERVICE_ACCOUNTS, Api, Object, config_map, namespace
from tests.support.waiting import wait_for

EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


def test_a_new_workspace_has_its_namespaces_and_what_each_holds(place: Api) -> None:
    assert place.names(NAMESPACES) == ["default", "kube-system"]
    wait_for(lambda: "default" in place.names(SERVICE_ACCOUNTS))
    wait_for(lambda: "BEGIN CERTIFICATE" in place.get(f"{CONFIG_MAPS}/kube-root-ca.crt")["data"]["ca.crt"])


def test_namespace_life(place: Api) -> None:
    made = place.create(NAMESPACES, namespace("one"))
    assert made["status"]["phase"] == "Active" and made["spec"]["finalizers"] == ["kubernetes"]
    assert made["metadata"]["labels"]["kubernetes.io/metadata.name"] == "one"
    inside = f"{NAMESPACES}/one/configmaps"
    wait_for(lambda: "default" in place.names(f"{NAMESPACES}/one/serviceaccounts"))
    held = config_map("held", finalizers=["example.com/hold"])
    place.create(inside, held)
    place.create(inside, config_map("free"))
    place.delete(f"{NAMESPACES}/one")
    wait_for(lambda: place.names(inside) == ["held"], "all but the held object are gone")
    assert place.get(f"{NAMESPACES}/one")["status"]["phase"] == "Terminating"
    refused = place.request("POST", inside, config_map("late")).expect(403)
    assert refused["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    place.patch(f"{inside}/held", {"metadata": {"finalizers": None}})
    place.gone(f"{NAMESPACES}/one")


def test_nothing_is_made_in_a_namespace_that_is_not_there(place: Api) -> None:
    refused = place.request("POST", f"{NAMESPACES}/nowhere/configmaps", config_map("lost")).expect(404)
    assert refused["message"] == 'namespaces "nowhere" not found'


def test_the_default_namespace_stays(place: Api) -> None:
    assert place.status_of("DELETE", f"{NAMESPACES}/default") == 403


def test_secret_text_is_stored_encoded_and_types_are_checked(place: Api) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"key": "open"}}
    made = place.create(SECRETS, secret)
    assert made["type"] == "Opaque"
    assert base64.b64decode(made["data"]["key"]) == b"open" and "stringData" not in made
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "type": "kubernetes.io/tls"}
    refused = place.request("POST", SECRETS, secret).expect(422)
    assert {c["field"] for c in refused["details"]["causes"]} == {"data[tls.crt]", "data[tls.key]"}
    fixed = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fixed"}, "immutable": True, "data": {"key": "b3Blbg=="}}
    place.create(SECRETS, fixed)
    assert place.status_of("PATCH", f"{SECRETS}/fixed", {"data": {"key": ""}}, content_type="application/merge-patch+json") == 422


def test_service_account_token_is_a_caller_of_its_workspace_alone(place: Api, root: Api, unique: Callable[[str], str]) -> None:
    place.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = place.create(f"{SERVICE_ACCOUNTS}/robot/token", request)["status"]["token"]
    robot = place.caller(token)
    assert robot.status_of("GET", CONFIG_MAPS) == 403
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    grant(place, subject, rule("", "configmaps"), name="robot")
    robot.create(CONFIG_MAPS, config_map("by-robot"))
    # Without a cluster in the URL the token tells where it belongs, as in a pod.
    assert "by-robot" in robot.at("").names(CONFIG_MAPS)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    me = robot.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert me["username"] == "system:serviceaccount:default:robot"
    assert {"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"} <= set(me["groups"])
    # The same name elsewhere is somebody else.
    other = root.workspace(unique("other"))
    other.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    grant(other, subject, rule("", "configmaps"), name="robot")
    assert robot.cluster(other.name).status_of("GET", CONFIG_MAPS) == 403
    place.delete(f"{SERVICE_ACCOUNTS}/robot")
    wait_for(lambda: robot.status_of("GET", CONFIG_MAPS) == 401, "the token goes with its account")


def test_events_are_one_thing_in_two_groups(place: Api) -> None:
    about = {"kind": "ConfigMap", "name": "any", "namespace": "default", "apiVersion": "v1"}
    core = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "one"}, "involvedObject": about, "reason": "Tried"}
    place.create(f"{NAMESPACES}/default/events", core)
    found = place.get(f"{EVENTS}/one")
    assert found["apiVersion"] == "events.k8s.io/v1" and found["regarding"]["name"] == "any" and found["reason"] == "Tried"
    new = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "two"},
        "eventTime": "2024-01-01T00:00:00.000000Z",
        "reportingController": "example.com/robot",
        "reportingInstance": "robot-1",
        "action": "Trying",
        "reason": "Tried",
        "regarding": about,
        "note": "it was tried",
        "type": "Normal",
    }
    place.create(EVENTS, new)
    assert place.get(f"{NAMESPACES}/default/events/two")["message"] == "it was tried"
    selected = place.items(f"{NAMESPACES}/default/events", fieldSelector="involvedObject.name=any,reason=Tried")
    assert len(selected) == 2


def test_lease(place: Api) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "leader"},
        "spec": {"holderIdentity": "a"},
    }
    made = place.create(path, lease)
    made["spec"] |= {"holderIdentity": "b", "leaseDurationSeconds": 15}
    taken = place.put(f"{path}/leader", made)
    # The loser of an election learns it by the version.
    assert place.status_of("PUT", f"{path}/leader", made) == 409
    assert taken["spec"]["holderIdentity"] == "b"
    taken["spec"]["leaseDurationSeconds"] = 0
    assert place.status_of("PUT", f"{path}/leader", taken) == 422


def test_quota_counts_and_refuses(place: Api) -> None:
    path = f"{NAMESPACES}/default/resourcequotas"
    already = len(place.names(CONFIG_MAPS))
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"count/configmaps": str(already + 2)}},
    }
    place.create(path, quota)
    wait_for(lambda: place.get(f"{path}/few").get("status", {}).get("used") == {"count/configmaps": str(already)})
    place.create(CONFIG_MAPS, config_map("one"))
    place.create(CONFIG_MAPS, config_map("two"))
    refused = place.request("POST", CONFIG_MAPS, config_map("three")).expect(403)
    assert "exceeded quota: few" in refused["message"]
    place.delete(f"{CONFIG_MAPS}/one")
    wait_for(lambda: place.status_of("POST", CONFIG_MAPS, config_map("three")) == 201, "room for another")


def test_limit_range_is_kept(place: Api) -> None:
    limits = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "limits"},
        "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "3"}}]},
    }
    path = f"{NAMESPACES}/default/limitranges"
    assert place.status_of("POST", path, limits) == 422
    limits["spec"]["limits"][0]["min"] = {"cpu": "1"}  # type: ignore[index]
    assert place.create(path, limits)["spec"]["limits"][0]["min"] == {"cpu": "1"}


WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def widget_definition() -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wi"]},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "required": ["size"],
                                    "properties": {
                                        "size": {"type": "integer", "minimum": 1},
                                        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                                        "replicas": {"type": "integer"},
                                    },
                                    "x-kubernetes-validations": [
                                        {"rule": "self.size < 100 || self.color == 'blue'", "message": "big ones are blue"}
                                    ],
                                },
                                "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                            },
                        }
                    },
                }
            ],
        },
    }


def widget(name: str, **spec: object) -> Object:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def widgets(place: Api) -> Api:
    place.create(CRDS, widget_definition())

    def established() -> bool:
        conditions = place.get(f"{CRDS}/widgets.example.com")["status"].get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    wait_for(established)
    return place


def test_custom_resource_is_validated_defaulted_and_pruned(widgets: Api) -> None:
    made = widgets.create(WIDGETS, widget("good", size=1, unknown="field"))
    assert made["spec"] == {"size": 1, "color": "red"} and made["metadata"]["generation"] == 1
    assert widgets.status_of("POST", WIDGETS, widget("bad", size=0)) == 422
    assert widgets.status_of("POST", WIDGETS, widget("bad")) == 422
    refused = widgets.request("POST", WIDGETS, widget("bad", size=100)).expect(422)
    assert "big ones are blue" in refused["message"]
    strict = widgets.request("POST", WIDGETS, widget("bad", size=1, unknown="field"), fieldValidation="Strict").expect(400)
    assert 'unknown field "spec.unknown"' in strict["message"]


def test_custom_resource_status_and_scale(widgets: Api) -> None:
    made = widgets.create(WIDGETS, widget("scaled", size=1, replicas=2) | {"status": {"replicas": 9}})
    assert "status" not in made
    done = widgets.patch(f"{WIDGETS}/scaled/status", {"status": {"replicas": 2}, "spec": {"size": 50}})
    assert done["status"] == {"replicas": 2} and done["spec"]["size"] == 1 and done["metadata"]["generation"] == 1
    scale = widgets.get(f"{WIDGETS}/scaled/scale")
    assert (scale["kind"], scale["spec"], scale["status"]["replicas"]) == ("Scale", {"replicas": 2}, 2)
    widgets.patch(f"{WIDGETS}/scaled/scale", {"spec": {"replicas": 5}})
    after = widgets.get(f"{WIDGETS}/scaled")
    assert after["spec"]["replicas"] == 5 and after["metadata"]["generation"] == 2


def test_custom_resource_table(widgets: Api) -> None:
    widgets.create(WIDGETS, widget("shown", size=7))
    table = widgets.get(WIDGETS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Size"]
    assert [row["cells"] for row in table["rows"]] == [["shown", 7]]


def test_definition_is_in_discovery_and_its_objects_go_with_it(widgets: Api, root: Api, unique: Callable[[str], str]) -> None:
    resources = {r["name"]: r for r in widgets.get("/apis/example.com/v1")["resources"]}
    assert set(resources) == {"widgets", "widgets/status", "widgets/scale"} and resources["widgets"]["shortNames"] == ["wi"]
    assert "example.com" in [g["name"] for g in widgets.get("/apis")["groups"]]
    assert "com.example.v1.Widget" in widgets.request("GET", "/openapi/v3/apis/example.com/v1").text
    other = root.workspace(unique("other"))
    assert other.status_of("GET", "/apis/example.com/v1") == 404
    widgets.create(WIDGETS, widget("left", size=1))
    widgets.delete(f"{CRDS}/widgets.example.com")
    widgets.gone(f"{CRDS}/widgets.example.com")
    assert widgets.status_of("GET", WIDGETS) == 404
    widgets.create(CRDS, widget_definition())
    wait_for(lambda: widgets.status_of("GET", WIDGETS) == 200)
    assert widgets.names(WIDGETS) == []


def test_rbac_decides_every_request(place: Api, person: Callable[[], Person]) -> None:
    someone = person()
    caller = place.caller(someone.token)
    refused = caller.request("GET", CONFIG_MAPS).expect(403)
    assert refused["reason"] == "Forbidden" and someone.name in refused["message"]
    grant(place, someone.subject, ACCESS, name="enter")
    assert caller.status_of("GET", CONFIG_MAPS) == 403
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "writer"},
        "rules": [rule("", "configmaps", "get", "list", "create"), rule("", "secrets", "get", resourceNames=["one"])],
    }
    place.create(f"{RBAC}/namespaces/default/roles", role)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "writer"},
        "subjects": [someone.subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
    }
    place.create(f"{RBAC}/namespaces/default/rolebindings", binding)
    caller.create(CONFIG_MAPS, config_map("mine"))
    assert "mine" in caller.names(CONFIG_MAPS)
    assert caller.status_of("DELETE", f"{CONFIG_MAPS}/mine") == 403
    assert caller.status_of("GET", f"{NAMESPACES}/kube-system/configmaps") == 403
    assert (caller.status_of("GET", f"{SECRETS}/one"), caller.status_of("GET", f"{SECRETS}/two")) == (404, 403)
    # Nobody hands out what they have not.
    grant(place, someone.subject, rule("rbac.authorization.k8s.io", "clusterroles", "get", "create"), name="roles")
    wish = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "wish"},
        "rules": [rule("", "secrets")],
    }
    refused = caller.request("POST", f"{RBAC}/clusterroles", wish).expect(403)
    assert "attempting to grant RBAC permissions not currently held" in refused["message"]
    place.delete(f"{RBAC}/namespaces/default/rolebindings/writer")
    assert caller.status_of("GET", CONFIG_MAPS) == 403


def test_groups_and_default_roles(place: Api, person: Callable[[], Person]) -> None:
    someone = person()
    group = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": someone.group}
    bind(place, group, "system:kcp:workspace:access", name="enter")
    bind(place, group, "view", name="view")
    caller = place.caller(someone.token)
    assert caller.status_of("GET", CONFIG_MAPS) == 200
    assert caller.status_of("GET", SECRETS) == 403, "the role `view` shows no secrets"
    assert caller.status_of("POST", CONFIG_MAPS, config_map("no")) == 403


def test_access_reviews(place: Api, person: Callable[[], Person]) -> None:
    someone = person()
    grant(place, someone.subject, ACCESS, rule("", "configmaps", "get"))
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": someone.name, "resourceAttributes": {"verb": "get", "resource": "configmaps", "namespace": "default"}},
    }
    path = "/apis/authorization.k8s.io/v1"
    assert place.create(f"{path}/subjectaccessreviews", review)["status"]["allowed"]
    review["spec"]["resourceAttributes"]["verb"] = "delete"  # type: ignore[index]
    assert not place.create(f"{path}/subjectaccessreviews", review)["status"]["allowed"]
    rules = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}
    found = place.caller(someone.token).create(f"{path}/selfsubjectrulesreviews", rules)["status"]["resourceRules"]
    assert {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]} in found


def test_owned_objects_go_with_their_owner(place: Api) -> None:
    owner = place.create(CONFIG_MAPS, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    place.create(CONFIG_MAPS, config_map("owned", ownerReferences=[reference]))
    place.create(CONFIG_MAPS, config_map("orphan-to-be", ownerReferences=[reference]))
    place.delete(f"{CONFIG_MAPS}/owner")
    place.gone(f"{CONFIG_MAPS}/owned")
    place.gone(f"{CONFIG_MAPS}/orphan-to-be")
