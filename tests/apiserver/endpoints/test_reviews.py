"""Access reviews, token reviews and token requests, with the texts of a recorded kube-apiserver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest

from tenantry.apiserver.authentication.authenticator import TokenAuthenticator, UnionAuthenticator
from tenantry.apiserver.authentication.service_account_tokens import ServiceAccountTokens, TokenIssuer
from tenantry.apiserver.authentication.static_tokens import StaticTokens
from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.apiserver.endpoints import reviews, token_request
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Call
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.http.messages import Response
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.types import BUILTINS
from tests.apiserver.pipeline_fakes import FakeScope, Rules, body_of

OWN = "https://kcp.default.svc"
ALICE = User("alice", ("devs", "system:authenticated"))
TYPES = {definition.plural: definition for definition in BUILTINS}
RESOURCE = {"verb": "get", "resource": "configmaps", "namespace": "ns"}


HOOK = {"kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "name": "x"}


class Deep(Rules):
    def allows_deep(self, attributes: Attributes) -> bool:
        return attributes.user.name == "deep"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> TokenIssuer:
    return TokenIssuer.load(tmp_path_factory.mktemp("keys") / "sa.key")


class Stored:
    async def __call__(self, cluster: str, resource: str, namespace: str, name: str) -> str | None:
        return {("serviceaccounts", "robot"): "robot-uid", ("secrets", "holder"): "holder-uid"}.get((resource, name))

    async def read(self, cluster: str, resource: str, namespace: str, name: str) -> Object | None:
        uid = await self(cluster, resource, namespace, name)
        return {"metadata": {"uid": uid}} if uid else None


lookup = Stored()


class Asking:
    def __init__(self, issuer: TokenIssuer) -> None:
        self.rules = Deep(lambda a: a.verb == "get")
        tokens: list[TokenAuthenticator] = [
            StaticTokens({"t-bob": User("bob", ("devs",), "bob-uid")}, [OWN]),
            ServiceAccountTokens(issuer, lookup),
        ]
        union = UnionAuthenticator(tokens=tokens, audiences=[OWN])
        self.connectors = reviews.connectors(union) | token_request.connectors(issuer, lookup)

    async def __call__(
        self, plural: str, body: Any, *, user: User = ALICE, namespace: str = "", name: str = "", sub: str = "", **headers: str
    ) -> dict[str, Any]:
        definition = TYPES[plural]
        version = definition.storage_version
        every = {"content-type": "application/json", "user-agent": "tests/1"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        request = Request("POST", "/", headers=every, read_body=body_of(orjson.dumps(body)))
        scope = FakeScope("abc", self.rules, definitions=tuple(BUILTINS))
        call = Call(request, scope, user, definition, version, namespace, name, sub, "create")
        reply = await self.connectors[(definition.group, plural, sub)](call)
        assert isinstance(reply, Response)
        assert reply.status == 201
        answer: dict[str, Any] = orjson.loads(reply.body)
        return answer

    async def refused(self, *args: Any, **more: Any) -> tuple[int, str]:
        with pytest.raises(StatusError) as caught:
            await self(*args, **more)
        return caught.value.code, caught.value.message


@pytest.fixture
def ask(issuer: TokenIssuer) -> Asking:
    return Asking(issuer)


async def test_self_access_review(ask: Asking) -> None:
    answer = await ask("selfsubjectaccessreviews", {"spec": {"resourceAttributes": RESOURCE}})

    assert (answer["kind"], answer["apiVersion"]) == ("SelfSubjectAccessReview", "authorization.k8s.io/v1")
    assert answer["status"] == {"allowed": True}
    assert answer["spec"] == {"resourceAttributes": RESOURCE}
    [owner] = answer["metadata"]["managedFields"]
    assert (owner["manager"], owner["operation"]) == ("tests", "Update")
    asked = ask.rules.asked[-1]
    assert (asked.user, asked.cluster, asked.resource, asked.namespace) == (ALICE, "abc", "configmaps", "ns")


async def test_a_path_and_a_denial_with_its_reason(ask: Asking) -> None:
    spec = {"nonResourceAttributes": {"verb": "post", "path": "/x"}}
    ask.rules.reason = "because"
    assert (await ask("selfsubjectaccessreviews", {"spec": spec}))["status"] == {"allowed": False, "reason": "because"}
    assert ask.rules.asked[-1].path == "/x"
    ask.rules.authorize = lambda attributes: Decision(Verdict.DENY)  # type: ignore[method-assign]
    assert (await ask("selfsubjectaccessreviews", {"spec": spec}))["status"] == {"allowed": False, "denied": True}


async def test_review_of_another_subject(ask: Asking) -> None:
    spec = {"user": "x", "groups": ["g"], "uid": "u", "extra": {"A": ["b"]}, "resourceAttributes": RESOURCE}
    assert (await ask("subjectaccessreviews", {"spec": spec}))["status"] == {"allowed": True}
    assert ask.rules.asked[-1].user == User("x", ("g",), "u", (("a", ("b",)),))


@pytest.mark.parametrize(
    ("plural", "spec", "message"),
    [
        (
            "selfsubjectaccessreviews",
            {"resourceAttributes": RESOURCE, "nonResourceAttributes": {"verb": "get", "path": "/"}},
            'spec: Invalid value: {"Path":"/","Verb":"get"}: '
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "selfsubjectaccessreviews",
            {},
            "spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            "selfsubjectaccessreviews",
            {
                "resourceAttributes": RESOURCE
                | {"labelSelector": {"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]}}
            },
            'spec.resourceAttributes.labelSelector.rawSelector: Invalid value: "a=b": '
            "may not specified at the same time as requirements",
        ),
        (
            "subjectaccessreviews",
            {"resourceAttributes": RESOURCE},
            'spec.user: Invalid value: "": at least one of user or group must be specified',
        ),
        (
            "localsubjectaccessreviews",
            {"user": "x", "resourceAttributes": RESOURCE | {"namespace": "default"}},
            'spec.resourceAttributes.namespace: Invalid value: "default": must match metadata.namespace',
        ),
        (
            "localsubjectaccessreviews",
            {"user": "x", "nonResourceAttributes": {"verb": "get", "path": "/"}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: disallowed on this kind of request',
        ),
    ],
)
async def test_refused_reviews(ask: Asking, plural: str, spec: Any, message: str) -> None:
    namespace = "ns" if plural.startswith("local") else ""
    assert await ask.refused(plural, {"spec": spec}, namespace=namespace) == (
        422,
        f'.authorization.k8s.io "" is invalid: {message}',
    )


async def test_a_review_has_no_name(ask: Asking) -> None:
    code, message = await ask.refused(
        "selfsubjectaccessreviews", {"metadata": {"name": "x"}, "spec": {"resourceAttributes": RESOURCE}}
    )
    assert (code, message.endswith(": must be empty")) == (422, True)


async def test_local_review_in_another_namespace(ask: Asking) -> None:
    body = {"metadata": {"namespace": "other"}, "spec": {"user": "x", "resourceAttributes": RESOURCE}}
    assert await ask.refused("localsubjectaccessreviews", body, namespace="ns") == (
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    )
    answer = await ask("localsubjectaccessreviews", body | {"metadata": {}}, namespace="ns")
    assert answer["metadata"]["namespace"] == "ns"


async def test_a_selector_that_is_not_understood_is_reported(ask: Asking) -> None:
    selector: Object = {"fieldSelector": {"requirements": [{"key": "a", "operator": "Frob"}]}}
    answer = await ask("selfsubjectaccessreviews", {"spec": {"resourceAttributes": RESOURCE | selector}})
    assert answer["status"]["evaluationError"] == "spec.resourceAttributes.fieldSelector ignored due to parse error"
    selector = {"fieldSelector": {"rawSelector": "metadata.name=x"}}
    answer = await ask("selfsubjectaccessreviews", {"spec": {"resourceAttributes": RESOURCE | selector}})
    assert "evaluationError" not in answer["status"]


REQUIRED = "Required value: must be specified when `operator` is 'In' or 'NotIn'"
FORBIDDEN = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"


@pytest.mark.parametrize("name", ["fieldSelector", "labelSelector"])
@pytest.mark.parametrize(
    ("requirement", "field", "text"),
    [
        ({"key": "a", "operator": "In"}, "values", REQUIRED),
        ({"key": "a", "operator": "NotIn", "values": []}, "values", REQUIRED),
        ({"key": "a", "operator": "Exists", "values": ["x"]}, "values", FORBIDDEN),
        ({"key": "a", "operator": "DoesNotExist", "values": ["x"]}, "values", FORBIDDEN),
        ({"key": "a", "operator": "In", "values": ["x"]}, "", ""),
        ({"key": "a", "operator": "Frob", "values": ["x"]}, "", ""),
    ],
)
async def test_requirements_of_selectors(ask: Asking, name: str, requirement: Object, field: str, text: str) -> None:
    """An operator that is not known comes from a newer client, and is no error."""
    spec = {"resourceAttributes": RESOURCE | {name: {"requirements": [requirement]}}}
    if not text:
        assert (await ask("selfsubjectaccessreviews", {"spec": spec}))["status"]["allowed"]
        return
    path = f"spec.resourceAttributes.{name}.requirements[0].{field}"
    refused = await ask.refused("selfsubjectaccessreviews", {"spec": spec})
    assert refused == (422, f'.authorization.k8s.io "" is invalid: {path}: {text}')


async def test_keys_of_selectors(ask: Asking) -> None:
    """A label has a key with rules of its own; a field has any."""
    for name, key, why in (
        ("fieldSelector", "", "Required value: must be specified"),
        ("labelSelector", "", 'Invalid value: "": name part must be non-empty'),
        ("fieldSelector", "/ /", ""),
        ("labelSelector", "/ /", 'Invalid value: "/ /"'),
    ):
        requirement = {"key": key, "operator": "Exists"}
        body = {"spec": {"resourceAttributes": RESOURCE | {name: {"requirements": [requirement]}}}}
        if why:
            code, message = await ask.refused("selfsubjectaccessreviews", body)
            assert code == 422 and f"spec.resourceAttributes.{name}.requirements[0].key: {why}" in message
        else:
            assert (await ask("selfsubjectaccessreviews", body))["status"]["allowed"]


async def test_deep_reviews_are_for_masters(ask: Asking) -> None:
    spec = {"user": "deep", "resourceAttributes": RESOURCE | {"verb": "bind"}}
    header: dict[str, Any] = {"x_kcp_internal_deep_subjectaccessreview": "true"}
    master = User("m", (MASTERS_GROUP,))
    assert (await ask("subjectaccessreviews", {"spec": spec}, user=master, **header))["status"] == {"allowed": True}
    assert (await ask("subjectaccessreviews", {"spec": spec}, **header))["status"] == {"allowed": False}


async def test_rules_review(ask: Asking) -> None:
    answer = await ask("selfsubjectrulesreviews", {"spec": {"namespace": "ns"}})
    assert answer["status"] == {
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api"]}],
        "incomplete": False,
    }
    assert await ask.refused("selfsubjectrulesreviews", {"spec": {}}) == (400, "no namespace on request")


async def test_who_am_i(ask: Asking) -> None:
    answer = await ask("selfsubjectreviews", {})
    assert answer["status"] == {"userInfo": {"username": "alice", "groups": ["devs", "system:authenticated"]}}
    assert list(answer["metadata"]) == ["creationTimestamp"]


async def test_token_review(ask: Asking) -> None:
    answer = await ask("tokenreviews", {"spec": {"token": "t-bob"}})
    assert answer["status"] == {
        "authenticated": True,
        "user": {"username": "bob", "uid": "bob-uid", "groups": ["devs", "system:authenticated"]},
        "audiences": [OWN],
    }
    for spec in ({"token": "nonsense"}, {"token": "t-bob", "audiences": ["x"]}):
        assert (await ask("tokenreviews", {"spec": spec}))["status"] == {"user": {}, "error": "invalid bearer token"}
    assert await ask.refused("tokenreviews", {"spec": {}}) == (400, "token is required for TokenReview in authentication")


async def test_no_tables_of_reviews(ask: Asking) -> None:
    code, message = await ask.refused("selfsubjectreviews", {}, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert (code, message) == (
        406,
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )


async def token_for(ask: Asking, body: Any, name: str = "robot") -> dict[str, Any]:
    return await ask("serviceaccounts", body, namespace="ns", name=name, sub="token")


async def test_token_request(ask: Asking) -> None:
    answer = await token_for(ask, {})

    assert (answer["kind"], answer["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
    assert answer["spec"] == {"audiences": [OWN], "expirationSeconds": 3600, "boundObjectRef": None}
    metadata = answer["metadata"]
    assert (metadata["name"], metadata["namespace"], metadata["uid"]) == ("robot", "ns", "robot-uid")
    assert metadata["managedFields"][0]["fieldsV1"] == {"f:spec": {"f:expirationSeconds": {}}}
    assert metadata["managedFields"][0]["subresource"] == "token"
    review = await ask("tokenreviews", {"spec": {"token": answer["status"]["token"]}})
    assert review["status"]["user"]["username"] == "system:serviceaccount:ns:robot"


@pytest.mark.parametrize("version", [None, "", "v1", "v2", "a/b/c"])
async def test_only_the_group_of_a_bound_secret_counts(ask: Asking, version: str | None) -> None:
    reference = {"kind": "Secret", "name": "holder"} | ({"apiVersion": version} if version is not None else {})
    answer = await token_for(ask, {"spec": {"boundObjectRef": reference}})
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert claims["kubernetes.io"]["secret"] == {"name": "holder", "uid": "holder-uid"}


async def test_token_for_others_and_bound_to_a_secret(ask: Asking) -> None:
    reference = {"kind": "Secret", "apiVersion": "v1", "name": "holder", "uid": "holder-uid"}
    answer = await token_for(ask, {"spec": {"audiences": ["one", "two"], "expirationSeconds": 600, "boundObjectRef": reference}})
    assert answer["spec"]["boundObjectRef"] == reference
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["one", "two"], 600)
    assert claims["kubernetes.io"] == {
        "clusterName": "abc",
        "namespace": "ns",
        "serviceaccount": {"name": "robot", "uid": "robot-uid"},
        "secret": {"name": "holder", "uid": "holder-uid"},
    }


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            {"spec": {"expirationSeconds": 599}},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: '
            "may not specify a duration less than 10 minutes",
        ),
        (
            {"spec": {"expirationSeconds": 4294967297}},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: '
            "may not specify a duration larger than 2^32 seconds",
        ),
        ({"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "none"}}}, 404, 'secrets "none" not found'),
        (
            {"spec": {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "none"}}},
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        ({"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1"}}}, 400, "Name parameter required."),
        (
            {"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "holder", "uid": "other"}}},
            409,
            'Operation cannot be fulfilled on Secret "holder": the UID in the bound object reference (other) does not match '
            "the UID in record. The object might have been deleted and then recreated",
        ),
        ({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}}, 404, 'pods "none" not found'),
        ({"spec": {"boundObjectRef": {"kind": "Node", "name": "none"}}}, 404, 'nodes "none" not found'),
        ({"spec": {"boundObjectRef": {"kind": "Node"}}}, 400, "Name parameter required."),
        (
            {"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "apps/v1", "name": "holder"}}},
            400,
            "cannot bind token to object of type apps/v1, Kind=Secret",
        ),
        (
            {"spec": {"boundObjectRef": HOOK, "audiences": ["a"], "attestations": {"admissionReviewAPIGroups": ["*"]}}},
            400,
            "cannot bind token to object of type admissionregistration.k8s.io/v1, Kind=ValidatingWebhookConfiguration "
            "(feature gate APIServerWebhookAuthenticationToken is disabled)",
        ),
        (
            {"spec": {"boundObjectRef": HOOK, "audiences": ["a"], "attestations": {"admissionReviewAPIGroups": [""]}}},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.attestations[admissionReviewAPIGroups][0]: '
            'Invalid value: "": may not be an empty string',
        ),
        (
            {"spec": {"attestations": {"a": ["b"]}, "expirationSeconds": 1}},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.attestations: Invalid value: {"a":["b"]}: '
            "attestations may only be specified with a webhook bound object reference",
        ),
        (
            {"metadata": {"uid": "other"}},
            409,
            'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "robot": the UID in the token request (other) '
            "does not match the UID of the service account (robot-uid)",
        ),
        (
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}},
            400,
            'Secret in version "v1" cannot be handled as a TokenRequest: converting (v1.Secret) to '
            "(authentication.TokenRequest): unknown conversion",
        ),
        (
            {"metadata": {"name": "other"}},
            422,
            'TokenRequest.authentication.k8s.io "robot" is invalid: metadata.name: Invalid value: "other": '
            "must match the service account name if specified",
        ),
    ],
)
async def test_refused_token_requests(ask: Asking, body: Any, code: int, message: str) -> None:
    assert await ask.refused("serviceaccounts", body, namespace="ns", name="robot", sub="token") == (code, message)


async def test_token_of_a_missing_account(ask: Asking) -> None:
    assert await ask.refused("serviceaccounts", {}, namespace="ns", name="none", sub="token") == (
        404,
        'serviceaccounts "none" not found',
    )


def test_key_file_is_in_place(tmp_path: Path) -> None:
    TokenIssuer.load(tmp_path / "deep" / "sa.key")
    assert (tmp_path / "deep" / "sa.key").exists()
