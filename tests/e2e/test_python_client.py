"""The official Kubernetes client for Python, unmodified."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

import kubernetes
import pytest
from kubernetes import client, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.test_builtin_types import widget_definition
from tests.support.api import CRDS, Api
from tests.support.forms import Platform
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import wait_for


@pytest.fixture
def connected(place: Api, server: Platform) -> client.ApiClient:
    """A client that was set up from admin.kubeconfig, in a workspace of this test."""
    document = kubeconfig(server, place)
    made: client.ApiClient = kubernetes.config.new_client_from_config_dict(document, context="shard-base")
    return made


def test_version_and_discovery(connected: client.ApiClient) -> None:
    assert client.VersionApi(connected).get_code().git_version.startswith("v1.")
    assert "rbac.authorization.k8s.io" in [g.name for g in client.ApisApi(connected).get_api_versions().groups]
    assert "configmaps" in [r.name for r in client.CoreV1Api(connected).get_api_resources().resources]


def test_typed_create_read_update_delete(connected: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(connected)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="one", labels={"a": "b"}), data={"key": "value"})
    made = core.create_namespaced_config_map("default", body)
    assert made.metadata.uid and made.data == {"key": "value"}
    made.data["key"] = "other"
    replaced = core.replace_namespaced_config_map("one", "default", made)
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("one", "default", made)
    assert stale.value.status == 409
    patched = core.patch_namespaced_config_map("one", "default", {"data": {"more": "data"}})
    assert patched.data == {"key": "other", "more": "data"}
    assert int(patched.metadata.resource_version) > int(replaced.metadata.resource_version)
    assert [c.metadata.name for c in core.list_namespaced_config_map("default", label_selector="a=b").items] == ["one"]
    core.delete_namespaced_config_map("one", "default")
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("one", "default")
    assert gone.value.status == 404


def test_secret_and_role(connected: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(connected)
    rbac: Any = client.RbacAuthorizationV1Api(connected)
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="word"), string_data={"key": "open"})
    assert base64.b64decode(core.create_namespaced_secret("default", secret).data["key"]) == b"open"
    role = client.V1Role(
        metadata=client.V1ObjectMeta(name="reader"),
        rules=[client.V1PolicyRule(api_groups=[""], resources=["secrets"], verbs=["get"])],
    )
    assert rbac.create_namespaced_role("default", role).rules[0].verbs == ["get"]


def test_list_in_pages(connected: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(connected)
    for number in range(7):
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"page-{number}", labels={"paged": "yes"}))
        core.create_namespaced_config_map("default", body)
    names: list[str] = []
    token = None
    pages = 0
    while pages == 0 or token:
        page = core.list_namespaced_config_map("default", label_selector="paged=yes", limit=3, _continue=token)
        names += [c.metadata.name for c in page.items]
        token = page.metadata._continue
        pages += 1
    assert names == [f"page-{n}" for n in range(7)] and pages == 3


def test_watch(connected: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(connected)
    version = core.list_namespaced_config_map("default").metadata.resource_version

    def write() -> None:
        core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="seen")))
        core.patch_namespaced_config_map("seen", "default", {"data": {"a": "b"}})
        core.delete_namespaced_config_map("seen", "default")

    writer = threading.Thread(target=write)
    follower = watch.Watch()
    seen: list[tuple[str, Any]] = []
    writer.start()
    for event in follower.stream(
        core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=int(PATIENCE_SECONDS)
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            follower.stop()
    writer.join()
    assert seen == [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")]


def test_dynamic_client(connected: client.ApiClient, place: Api) -> None:
    place.create(CRDS, widget_definition())
    wait_for(lambda: place.status_of("GET", "/apis/example.com/v1") == 200)
    api = dynamic.DynamicClient(connected)
    widgets = api.resources.get(api_version="example.com/v1", kind="Widget")
    made = widgets.create(
        namespace="default",
        body={"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}},
    )
    assert made.spec.color == "red"
    widgets.patch(namespace="default", name="one", body={"spec": {"size": 2}}, content_type="application/merge-patch+json")
    assert [w.spec.size for w in widgets.get(namespace="default").items] == [2]
    applied = widgets.server_side_apply(
        namespace="default",
        name="two",
        body={"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "two"}, "spec": {"size": 3}},
        field_manager="python",
    )
    assert applied.metadata.managedFields[0].manager == "python"
    widgets.status.patch(
        namespace="default", name="one", body={"status": {"replicas": 4}}, content_type="application/merge-patch+json"
    )
    assert widgets.get(namespace="default", name="one").status.replicas == 4
    widgets.delete(namespace="default", name="one")
    assert [w.metadata.name for w in widgets.get(namespace="default").items] == ["two"]


def test_workspace_through_custom_objects(connected: client.ApiClient, place: Api, unique: Callable[[str], str]) -> None:
    objects: Any = client.CustomObjectsApi(connected)
    body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "team"}}
    objects.create_cluster_custom_object("tenancy.kcp.io", "v1alpha1", "workspaces", body)
    assert place.ready("team").url
    listed = objects.list_cluster_custom_object("tenancy.kcp.io", "v1alpha1", "workspaces")
    assert [w["metadata"]["name"] for w in listed["items"]] == ["team"]


def test_access_and_token_reviews(connected: client.ApiClient) -> None:
    authorization: Any = client.AuthorizationV1Api(connected)
    attributes = client.V1ResourceAttributes(verb="get", resource="secrets", namespace="default")
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    assert authorization.create_self_subject_access_review(review).status.allowed
    core: Any = client.CoreV1Api(connected)
    core.create_namespaced_service_account("default", client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot")))
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("robot", "default", request).status.token
    tokens: Any = client.AuthenticationV1Api(connected)
    answer = tokens.create_token_review(client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token)))
    assert answer.status.user.username == "system:serviceaccount:default:robot"
