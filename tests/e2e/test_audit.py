"""What is recorded of requests, on real processes: one event for each stage, whichever process a request comes to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.people import ACCESS, everybody, grant, rule
from tests.support.api import CONFIG_MAPS, SECRETS, Api, config_map
from tests.support.forms import Platform, platform
from tests.support.https_servers import HttpsServer
from tests.support.waiting import wait_for

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}], omitStages: [RequestReceived]}
- {level: Metadata, resources: [{group: tenancy.kcp.io, resources: [workspaces]}]}
- {level: None}
"""
PERSONAL = "/services/workspaces/root/apis/tenancy.kcp.io/v1alpha1/workspaces"
ALICE = everybody()[0]


@pytest.fixture(scope="module")
def webhook() -> Iterator[HttpsServer]:
    with HttpsServer(lambda path, body: (200, {})) as server:
        yield server


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "audit.log"


@pytest.fixture(scope="module")
def audited(
    form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path, webhook: HttpsServer, log: Path
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("audited")
    policy, config, ca = folder / "policy.yaml", folder / "webhook.kubeconfig", folder / "ca.crt"
    policy.write_text(POLICY)
    ca.write_text(webhook.ca)
    cluster = {"server": f"{webhook.url}/audit", "certificate-authority": str(ca)}
    contexts = [{"name": "c", "context": {"cluster": "a"}}]
    config.write_text(json.dumps({"current-context": "c", "clusters": [{"name": "a", "cluster": cluster}], "contexts": contexts}))
    flags = (
        *("--audit-policy-file", str(policy), "--audit-webhook-config-file", str(config)),
        *("--audit-webhook-batch-max-wait", "100ms"),
        # The shards of this platform append to one file, which therefore is not rotated.
        *("--audit-log-path", str(log), "--audit-log-maxsize", "0"),
    )
    with platform(form, folder, shards=2, token_file=tokens, authentication=flags) as running:
        yield running


@pytest.fixture(scope="module")
def place(audited: Platform) -> Api:
    made = audited.root.workspace("audited")
    grant(made, ALICE.subject, ACCESS, rule("", "configmaps,secrets"))
    return made


def recorded(log: Path, audit_id: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, log.read_text().splitlines()) if event["auditID"] == audit_id]


def test_one_event_for_each_stage(place: Api, log: Path, webhook: HttpsServer) -> None:
    alice = place.caller(ALICE.token)
    made = alice.request("POST", CONFIG_MAPS, config_map("x", {"a": "b"}), headers={"Audit-Id": "made"})
    assert made.headers["Audit-Id"] == "made"
    (event,) = recorded(log, "made")
    assert (event["stage"], event["level"], event["verb"]) == ("ResponseComplete", "RequestResponse", "create")
    assert event["user"]["username"] == ALICE.name
    assert event["requestURI"] == CONFIG_MAPS
    assert event["objectRef"] == {"resource": "configmaps", "namespace": "default", "name": "x", "apiVersion": "v1"}
    assert event["requestObject"]["data"] == {"a": "b"}
    assert event["responseObject"]["data"] == {"a": "b"}
    assert "managedFields" not in event["responseObject"]["metadata"]
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert event["annotations"]["kcp.io/path"] == "root:audited"
    assert event["annotations"]["kcp.io/cluster"] == event["annotations"]["tenancy.kcp.io/workspace"]
    assert event["sourceIPs"][0] == "127.0.0.1"

    def sent() -> list[dict[str, Any]]:
        return [item for _, body, _ in webhook.requests for item in body["items"] if item["auditID"] == "made"]

    (item,) = wait_for(sent, "the event comes to the webhook")
    assert {"kind": "Event", "apiVersion": "audit.k8s.io/v1", **item} == event


def test_secrets_are_recorded_as_the_policy_says(place: Api, log: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "TREASURE"}}
    place.caller(ALICE.token).request("POST", SECRETS, secret, headers={"Audit-Id": "secret"}).expect(201)
    assert [event["stage"] for event in recorded(log, "secret")] == ["RequestReceived", "ResponseComplete"]
    assert "TREASURE" not in log.read_text()


def test_refused_requests(place: Api, log: Path) -> None:
    place.caller("nonsense").request("GET", CONFIG_MAPS, headers={"Audit-Id": "unknown"})
    (event,) = recorded(log, "unknown")
    assert (event["stage"], event["responseStatus"]["code"], event["user"]) == ("ResponseStarted", 401, {})
    place.caller(everybody()[1].token).request("GET", CONFIG_MAPS, headers={"Audit-Id": "refused"}).expect(403)
    (event,) = recorded(log, "refused")
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["responseStatus"]["reason"] == "Forbidden"


def test_watches(place: Api, log: Path) -> None:
    place.request("GET", CONFIG_MAPS, headers={"Audit-Id": "watched"}, watch=True, timeoutSeconds=1)

    def stages() -> bool:
        return [event["stage"] for event in recorded(log, "watched")] == ["ResponseStarted", "ResponseComplete"]

    wait_for(stages, "the end of the watch is recorded")


@pytest.mark.views
def test_requests_to_views(audited: Platform, log: Path) -> None:
    """In the third form a process of views has them first, and sends writes on."""
    alice = audited.masters.caller(ALICE.token).at("")
    alice.request("GET", PERSONAL, headers={"Audit-Id": "view-read"}).expect(200)
    alice.request("DELETE", f"{PERSONAL}/none", headers={"Audit-Id": "view-write"}).expect(405)
    for audit_id, code in (("view-read", 200), ("view-write", 405)):
        events = recorded(log, audit_id)
        assert [event["stage"] for event in events] == ["RequestReceived", "ResponseComplete"]
        assert [event["user"]["username"] for event in events] == [ALICE.name] * 2
        assert events[-1]["responseStatus"]["code"] == code
        assert events[-1]["requestURI"] == PERSONAL.partition("root")[2] + ("/none" if code == 405 else "")


def test_annotations_of_policies(place: Api, log: Path) -> None:
    group = "/apis/admissionregistration.k8s.io/v1"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "false", "message": "noted"}],
        "auditAnnotations": [{"key": "size", "valueExpression": "string(size(object.data))"}],
    }
    kinds = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "noted"}}
    place.create(f"{group}/validatingadmissionpolicies", {**kinds, "kind": "ValidatingAdmissionPolicy", "spec": spec})
    binding = {**kinds, "kind": "ValidatingAdmissionPolicyBinding"}
    binding["spec"] = {"policyName": "noted", "validationActions": ["Audit"]}
    place.create(f"{group}/validatingadmissionpolicybindings", binding)
    numbers = count()

    def noted() -> dict[str, str]:
        name = f"noted-{next(numbers)}"
        place.request("POST", CONFIG_MAPS, config_map(name, {"a": "b"}), headers={"Audit-Id": name}).expect(201)
        (event,) = recorded(log, name)
        found: dict[str, str] = event["annotations"]
        assert "noted/size" in found
        return found

    annotations = wait_for(noted, "the policy is in effect")
    assert annotations["noted/size"] == "1"
    (failure,) = json.loads(annotations["validation.policy.admission.k8s.io/validation_failure"])
    assert failure["message"] == "noted"
