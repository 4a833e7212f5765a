"""Authorization webhooks on real processes: before and after RBAC, with every kind of question."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.people import Person
from tests.support.api import CONFIG_MAPS, RBAC, Api, Object, config_map
from tests.support.forms import Platform, platform
from tests.support.https_servers import Answer, HttpsServer
from tests.support.waiting import wait_for

ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Policy(HttpsServer):
    """A webhook. It allows what `allowed` says, denies what `denied` says, and has no opinion about all else."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.allowed: Callable[[Object], bool] = lambda spec: False
        self.denied: Callable[[Object], bool] = lambda spec: False
        self.fails = False

    def _answer(self, path: str, body: Any) -> Answer:
        if self.fails:
            return 403, {}
        spec = body["spec"]
        status: Object = {"allowed": self.allowed(spec)}
        if self.denied(spec):
            status = {"allowed": False, "denied": True, "reason": "denied by policy"}
        return 200, {"apiVersion": body["apiVersion"], "kind": "SubjectAccessReview", "status": status}

    def specs(self, user: str) -> list[Object]:
        return [body["spec"] for _, body, _ in self.requests if body["spec"]["user"] == user]


@pytest.fixture(scope="module")
def policy() -> Iterator[Policy]:
    with Policy() as running:
        yield running


def webhook(kubeconfig: Path, *conditions: str, **more: Any) -> Object:
    return {
        "timeout": "5s",
        "authorizedTTL": "5m",
        "cacheAuthorizedRequests": False,
        "unauthorizedTTL": "30s",
        "cacheUnauthorizedRequests": False,
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(kubeconfig)},
        "matchConditions": [{"expression": text} for text in conditions],
        **more,
    }


def configuration(*authorizers: Object) -> str:
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": list(authorizers),
    }
    return json.dumps(document)


RBAC_AUTHORIZER = {"type": "RBAC", "name": "rbac"}


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> Path:
    """A webhook that is asked about writes before RBAC, and one that is asked after it."""
    folder = tmp_path_factory.mktemp("authorization")
    kubeconfig = policy.kubeconfig(folder / "kubeconfig")
    first = webhook(
        kubeconfig, "has(request.resourceAttributes)", "request.resourceAttributes.verb in ['create', 'update', 'delete']"
    )
    path = folder / "config.yaml"
    path.write_text(
        configuration(
            {"type": "Webhook", "name": "before", "webhook": first},
            RBAC_AUTHORIZER,
            {"type": "Webhook", "name": "after", "webhook": webhook(kubeconfig, failurePolicy="NoOpinion")},
        )
    )
    return path


@pytest.fixture(scope="module")
def own(form: str, tmp_path_factory: pytest.TempPathFactory, config_file: Path, tokens: Path) -> Iterator[Platform]:
    flags = ("--authorization-config", str(config_file))
    with platform(form, tmp_path_factory.mktemp("own"), token_file=tokens, authentication=flags) as running:
        yield running


@pytest.fixture(autouse=True)
def no_opinion(policy: Policy) -> None:
    policy.allowed = policy.denied = lambda spec: False
    policy.fails = False


def granted(place: Api, person: Person, *verbs: str) -> Api:
    """The person, with access to the workspace and these verbs for ConfigMaps."""
    subject = {"kind": "User", "name": person.name, "apiGroup": "rbac.authorization.k8s.io"}
    rules = [
        {"nonResourceURLs": ["/"], "verbs": ["access"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": list(verbs)},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["*"], "verbs": ["create"]},
    ]
    place.create(f"{RBAC}/clusterroles", {"metadata": {"name": person.name}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": person.name}
    binding = {"metadata": {"name": person.name}, "roleRef": role, "subjects": [subject]}
    place.create(f"{RBAC}/clusterrolebindings", binding)
    return place.caller(person.token)


def test_a_webhook_allows_what_rbac_does_not(own: Platform, policy: Policy, person: Any, unique: Any) -> None:
    place, who = own.root.workspace(unique("allow")), person()
    someone = place.caller(who.token)
    assert someone.request("GET", CONFIG_MAPS).status == 403
    cluster = place.get("/apis/core.kcp.io/v1alpha1/logicalclusters/cluster")["metadata"]["annotations"]["kcp.io/cluster"]
    asked = policy.specs(who.name)[-1]
    assert asked["extra"]["authorization.kcp.io/cluster-name"] == [cluster]
    assert asked["resourceAttributes"] == {"namespace": "default", "verb": "list", "version": "v1", "resource": "configmaps"}
    policy.allowed = lambda spec: spec["user"] == who.name and spec["resourceAttributes"]["resource"] == "configmaps"
    wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 200)


def test_a_webhook_denies_what_rbac_allows(own: Platform, policy: Policy, person: Any, unique: Any) -> None:
    place, who = own.root.workspace(unique("deny")), person()
    someone = granted(place, who, "*")
    wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 200)
    policy.denied = lambda spec: spec.get("resourceAttributes", {}).get("verb") == "create" and spec["user"] == who.name
    answer = someone.request("POST", CONFIG_MAPS, config_map("a"))
    assert answer.status == 403 and answer.object["message"].endswith(": denied by policy")
    # Reads do not match its conditions, and RBAC allows them: no webhook is asked.
    before = len(policy.specs(who.name))
    assert someone.request("GET", CONFIG_MAPS).status == 200
    assert len(policy.specs(who.name)) == before
    policy.denied = lambda spec: False
    assert someone.request("POST", CONFIG_MAPS, config_map("a")).status == 201
    # system:masters are never asked about.
    policy.denied = lambda spec: True
    place.create(CONFIG_MAPS, config_map("b"))


def test_a_webhook_that_does_not_answer(own: Platform, policy: Policy, person: Any, unique: Any) -> None:
    place, who = own.root.workspace(unique("down")), person()
    someone = granted(place, who, "*")
    wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 200)
    policy.fails = True
    # The one before RBAC denies then, and the one after it has no opinion.
    assert someone.request("POST", CONFIG_MAPS, config_map("a")).status == 403
    assert someone.request("GET", CONFIG_MAPS).status == 200


def test_reviews_and_impersonation_ask_it_too(own: Platform, policy: Policy, person: Any, unique: Any) -> None:
    place, who, other = own.root.workspace(unique("reviews")), person(), person()
    someone = granted(place, who, "get")
    wait_for(lambda: someone.request("GET", f"{CONFIG_MAPS}/kube-root-ca.crt").status == 200)

    def reviewed(verb: str) -> Object:
        attributes = {"verb": verb, "resource": "configmaps", "namespace": "default"}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        found: Object = someone.request("POST", ACCESS_REVIEWS, review).expect(201)["status"]
        return found

    assert reviewed("watch") == {"allowed": False}
    policy.allowed = lambda spec: spec.get("resourceAttributes", {}).get("verb") in ("watch", "impersonate")
    assert reviewed("watch")["allowed"] is True
    policy.denied = lambda spec: spec.get("resourceAttributes", {}).get("verb") == "delete"
    assert reviewed("delete") == {"allowed": False, "denied": True, "reason": "denied by policy"}

    rules = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": "default"},
    }
    status = someone.request("POST", RULES_REVIEWS, rules).expect(201)["status"]
    assert status["incomplete"] is True
    assert status["evaluationError"] == "webhook authorizer does not support user rule resolution"
    assert any("configmaps" in rule["resources"] for rule in status["resourceRules"])

    # The webhook allows the impersonation of a user and of a group; then RBAC decides about that user.
    headers = {"Impersonate-User": other.name, "Impersonate-Group": "some-group"}
    answer = someone.request("GET", CONFIG_MAPS, headers=headers)
    assert answer.status == 403 and f'User "{other.name}" cannot list' in answer.object["message"]
    asked = {spec["resourceAttributes"]["resource"] for spec in policy.specs(who.name) if "resourceAttributes" in spec}
    assert {"users", "groups"} <= asked


def test_a_changed_configuration(own: Platform, policy: Policy, config_file: Path, person: Any, unique: Any) -> None:
    place, who = own.root.workspace(unique("changed")), person()
    someone = place.caller(who.token)
    policy.allowed = lambda spec: spec["user"] == who.name
    wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 200)
    former = config_file.read_text()
    try:
        config_file.write_text(configuration(RBAC_AUTHORIZER))
        wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 403)
        config_file.write_text("nothing that can be used")
    finally:
        config_file.write_text(former)
    wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 200)


def test_the_flags_of_one_webhook(form: str, tmp_path: Path, tokens: Path, policy: Policy, person: Any) -> None:
    kubeconfig = policy.kubeconfig(tmp_path / "kubeconfig")
    flags = ("--authorization-webhook-config-file", str(kubeconfig), "--authorization-webhook-cache-authorized-ttl", "1h")
    with platform(form, tmp_path, token_file=tokens, authentication=flags) as own:
        place, who = own.root.workspace("flags"), person()
        policy.allowed = lambda spec: spec["user"] == who.name
        someone = place.caller(who.token)
        wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 200)
        assert policy.requests[-1][1]["apiVersion"] == "authorization.k8s.io/v1beta1"
        policy.allowed = lambda spec: False
        assert someone.request("GET", CONFIG_MAPS).status == 200


@pytest.mark.one_process("its requests go to one process, which has few seats")
def test_a_slow_webhook_delays_those_who_need_it(form: str, tmp_path: Path, tokens: Path, person: Any) -> None:
    with Policy() as slow:
        held = threading.Event()
        kubeconfig = slow.kubeconfig(tmp_path / "kubeconfig")
        after = {"type": "Webhook", "name": "slow", "webhook": webhook(kubeconfig, timeout="20s")}
        config = tmp_path / "config.yaml"
        config.write_text(configuration(RBAC_AUTHORIZER, after))
        flags = ("--authorization-config", str(config), "--max-requests-inflight", "4")
        with platform(form, tmp_path, token_file=tokens, authentication=flags) as own, ThreadPoolExecutor(12) as threads:
            place, quick, stuck = own.root.workspace("slow"), person(), person()
            someone = granted(place, quick, "get", "list")
            wait_for(lambda: someone.request("GET", CONFIG_MAPS).status == 200)
            other = place.caller(stuck.token)
            assert other.request("GET", CONFIG_MAPS).status == 403
            slow.allowed = lambda spec: held.wait(20)
            try:
                waiting = [threads.submit(other.request, "GET", f"{CONFIG_MAPS}/c{number}") for number in range(12)]
                wait_for(lambda: len(slow.specs(stuck.name)) == 13)
                assert someone.request("GET", CONFIG_MAPS).status == 200
                assert not any(each.done() for each in waiting)
            finally:
                held.set()
            assert {each.result().status for each in waiting} == {404}


def test_questions_within_a_write(own: Platform, policy: Policy, person: Any, unique: Any) -> None:
    """Admission asks whether who grants a role may do so, and an update that creates whether its caller may create."""
    place, who = own.root.workspace(unique("writes")), person()
    someone = granted(place, who, "update")
    policy.allowed = lambda spec: (
        spec["user"] == who.name and spec.get("resourceAttributes", {}).get("resource") == "rolebindings"
    )
    binding = {
        "metadata": {"name": "wide"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "any", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    bindings = f"{RBAC}/namespaces/default/rolebindings"
    answer = someone.request("POST", bindings, binding)
    assert answer.status == 403 and "is attempting to grant RBAC permissions not currently held" in answer.object["message"]
    policy.allowed = lambda spec: spec["user"] == who.name and "resourceAttributes" in spec
    assert someone.request("POST", bindings, binding).status == 201

    policy.allowed = lambda spec: False
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    policy.allowed = lambda spec: spec["user"] == who.name and spec.get("resourceAttributes", {}).get("verb") == "update"
    assert someone.request("PUT", path, lease).status == 403
    policy.allowed = lambda spec: (
        spec["user"] == who.name
        and spec.get("resourceAttributes", {}).get("verb")
        in (
            "update",
            "create",
        )
    )
    assert someone.request("PUT", path, lease).status == 201
