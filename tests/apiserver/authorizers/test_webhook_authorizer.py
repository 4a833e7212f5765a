"""The authorizer that asks a webhook: what it sends, what it makes of answers, and what it keeps."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver.authorization import NO_OPINION, Attributes, Decision, Verdict
from tenantry.apiserver.authorizers.configured_webhooks import ConfiguredWebhooks, read_valid
from tenantry.apiserver.authorizers.metrics import AuthorizerMetrics
from tenantry.apiserver.authorizers.selector_requirements import (
    field_requirements,
    field_text,
    label_requirements,
    label_text,
)
from tenantry.apiserver.authorizers.webhook_authorizer import WebhookAuthorizer, WebhookRules
from tenantry.apiserver.deferred import decided
from tenantry.apiserver.kubeconfig_file import read_endpoint
from tenantry.apiserver.review_calls import ReviewCalls
from tenantry.apiserver.review_turns import ReviewTurns
from tenantry.apiserver.user import User, make_extra
from tenantry.http.calls import Calls
from tenantry.kube.server_configuration.authorization_validation import condition
from tenantry.kube.server_configuration.decoding import ConfigurationError
from tests.support.https_servers import Answer, HttpsServer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import until

ANN = User("ann", ("dev",), "u-1", make_extra({"example.com/a": ["b"]}))
QUESTION = Attributes(ANN, "get", "abc", "apps", "v1", "deployments", "status", "default", "web")


@pytest.fixture
def webhook() -> Iterator[HttpsServer]:
    with HttpsServer(answer({"allowed": True, "reason": "because"})) as server:
        yield server


def answer(status: dict[str, Any], code: int = 200) -> Any:
    def answered(path: str, body: Any) -> Answer:
        return code, {"apiVersion": body["apiVersion"], "kind": body["kind"], "status": status}

    return answered


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def authorizer(
    webhook: HttpsServer,
    folder: Path,
    *conditions: str,
    on_error: Verdict = Verdict.NO_OPINION,
    authorized: float = 300,
    unauthorized: float = 30,
    version: str = "v1",
    metrics: AuthorizerMetrics | None = None,
    clock: Clock | None = None,
    timeout_seconds: float = 5,
) -> AsyncIterator[WebhookAuthorizer]:
    path = webhook.kubeconfig(folder / "kubeconfig")
    calls, metrics = Calls(), metrics or AuthorizerMetrics()

    async def no_pause(seconds: float) -> None:
        pass

    reviews = ReviewCalls(
        path,
        read_endpoint(path),
        calls,
        timeout_seconds=timeout_seconds,
        pause=no_pause,
        observed=lambda result, seconds: metrics.evaluated("w", result, seconds),
    )
    rules = WebhookRules(version, on_error, [condition(text) for text in conditions], authorized, unauthorized)
    try:
        yield WebhookAuthorizer("w", reviews, rules, metrics, clock=clock or Clock())
    finally:
        await calls.close()


async def ask(asked: WebhookAuthorizer, question: Attributes = QUESTION) -> Decision:
    return await decided(lambda: asked.authorize(question))


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_the_review_that_is_sent(webhook: HttpsServer, tmp_path: Path, version: str) -> None:
    async with authorizer(webhook, tmp_path, version=version) as asked:
        assert await ask(asked) == Decision(Verdict.ALLOW, "because")
        await ask(asked, Attributes(User("bob"), "get", "abc", path="/healthz/x"))
    (_, first, _), (_, second, _) = webhook.requests
    assert first["apiVersion"] == f"authorization.k8s.io/{version}" and first["kind"] == "SubjectAccessReview"
    assert first["spec"] == {
        "user": "ann",
        "uid": "u-1",
        "groups": ["dev"],
        "extra": {
            "example.com/a": ["b"],
            "authorization.kcp.io/cluster-name": ["abc"],
            "authorization.kubernetes.io/cluster-name": ["abc"],
        },
        "resourceAttributes": {
            "namespace": "default",
            "verb": "get",
            "group": "apps",
            "version": "v1",
            "resource": "deployments",
            "subresource": "status",
            "name": "web",
        },
    }
    assert second["spec"]["nonResourceAttributes"] == {"path": "/healthz/x", "verb": "get"}


async def test_selectors_of_a_review(webhook: HttpsServer, tmp_path: Path) -> None:
    text = "env in (prod,dev),!old,tier!=web,n>3,kept"
    listed = QUESTION._replace(verb="list", name="", field_selector="metadata.name=a,spec.x!=b\\,c", label_selector=text)
    reads = "request.resourceAttributes.?labelSelector.requirements.orValue([]).exists(r, r.key == 'env' && 'prod' in r.values)"
    async with authorizer(webhook, tmp_path, reads) as asked:
        assert (await ask(asked, listed)).allowed
        # A selector that cannot be read, or is too long, is not part of the question.
        for wrong in ("a=b=c=d!", "x" * 3000):
            assert not (await ask(asked, listed._replace(label_selector=wrong))).allowed
    ((_, body, _),) = webhook.requests
    assert body["spec"]["resourceAttributes"]["fieldSelector"]["requirements"] == [
        {"key": "metadata.name", "operator": "In", "values": ["a"]},
        {"key": "spec.x", "operator": "NotIn", "values": ["b,c"]},
    ]
    found = body["spec"]["resourceAttributes"]["labelSelector"]["requirements"]
    assert found == [
        {"key": "env", "operator": "In", "values": ["dev", "prod"]},
        {"key": "kept", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "tier", "operator": "NotIn", "values": ["web"]},
    ]
    # The selectors of an access review are the same as those of a request.
    assert label_requirements(label_text({"requirements": found})) == found
    assert label_text({"rawSelector": text}) == text
    fields = body["spec"]["resourceAttributes"]["fieldSelector"]
    assert field_requirements(field_text(fields)) == fields["requirements"]
    assert (field_text(None), label_text({})) == ("", "")


async def test_callers_cannot_choose_the_cluster_of_a_review(webhook: HttpsServer, tmp_path: Path) -> None:
    liar = User("liar", extra=make_extra({"authorization.kcp.io/cluster-name": ["root"]}))
    async with authorizer(webhook, tmp_path) as asked:
        await ask(asked, Attributes(liar, "get", "abc", path="/"))
    assert webhook.requests[0][1]["spec"]["extra"]["authorization.kcp.io/cluster-name"] == ["abc"]


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        ({"allowed": True}, Decision(Verdict.ALLOW)),
        ({"allowed": False, "reason": "no"}, Decision(Verdict.NO_OPINION, "no")),
        ({"denied": True, "reason": "never"}, Decision(Verdict.DENY, "never")),
        ({"allowed": True, "denied": True}, Decision(Verdict.DENY)),
        ({"allowed": "true", "reason": 3}, NO_OPINION),
    ],
)
async def test_answers(webhook: HttpsServer, tmp_path: Path, status: dict[str, Any], decision: Decision) -> None:
    webhook.answer = answer(status)
    async with authorizer(webhook, tmp_path) as asked:
        assert await ask(asked) == decision


async def test_answers_are_kept_for_a_while(webhook: HttpsServer, tmp_path: Path) -> None:
    clock = Clock()
    async with authorizer(webhook, tmp_path, clock=clock) as asked:
        for _ in range(3):
            assert (await ask(asked)).allowed
        # From memory: even a caller that cannot wait gets it.
        assert asked.authorize(QUESTION).allowed
        assert len(webhook.requests) == 1
        clock.now = 301
        webhook.answer = answer({"allowed": False})
        assert not (await ask(asked)).allowed
        clock.now += 29
        assert not (await ask(asked)).allowed
        assert len(webhook.requests) == 2
        clock.now += 2
        await ask(asked)
        assert len(webhook.requests) == 3


async def test_answers_that_are_not_kept(webhook: HttpsServer, tmp_path: Path) -> None:
    async with authorizer(webhook, tmp_path, authorized=0) as asked:
        assert (await ask(asked)).allowed and (await ask(asked)).allowed
        assert len(webhook.requests) == 2
        # Three questions of one decision are asked once each.
        users = [User(f"u{number}") for number in range(3)]

        def all_of_them() -> bool:
            return all(asked.authorize(QUESTION._replace(user=user)).allowed for user in users)

        assert await decided(all_of_them)
        assert len(webhook.requests) == 5
    long = QUESTION._replace(name="x" * 10_000)
    async with authorizer(webhook, tmp_path) as asked:
        assert (await ask(asked, long)).allowed and (await ask(asked, long)).allowed
        assert len(webhook.requests) == 7


async def test_many_callers_ask_once(webhook: HttpsServer, tmp_path: Path) -> None:
    async with authorizer(webhook, tmp_path) as asked:
        assert all(found.allowed for found in await asyncio.gather(*(ask(asked) for _ in range(20))))
    assert len(webhook.requests) == 1


@pytest.mark.parametrize(("code", "attempts"), [(500, 5), (429, 5), (504, 5), (503, 1), (400, 1), (302, 1)])
async def test_what_is_tried_again(webhook: HttpsServer, tmp_path: Path, code: int, attempts: int) -> None:
    webhook.answer = answer({"allowed": True}, code)
    async with authorizer(webhook, tmp_path) as asked:
        assert await ask(asked) == NO_OPINION
    assert len(webhook.requests) == attempts


@pytest.mark.parametrize("on_error", [Verdict.NO_OPINION, Verdict.DENY])
async def test_a_webhook_that_gives_no_answer(webhook: HttpsServer, tmp_path: Path, on_error: Verdict) -> None:
    metrics = AuthorizerMetrics()
    async with authorizer(webhook, tmp_path, on_error=on_error, metrics=metrics) as asked:
        for answered in ((200, b"not JSON"), (200, {"kind": "Status"}), (200, b"x" * 2_000_000), (403, {})):
            webhook.answer = lambda path, body, answered=answered: answered
            assert await ask(asked) == Decision(on_error)
        # A caller that cannot wait.
        assert asked.authorize(QUESTION) == Decision(on_error)
    shown = {(s.name, s.labels.get("result")): s.value for metric in metrics.collect() for s in metric.samples}
    assert shown["apiserver_authorization_webhook_evaluations_total", "success"] >= 2
    failed_open = shown.get(("apiserver_authorization_webhook_evaluations_fail_open_total", "error"), 0)
    assert failed_open == (4 if on_error is Verdict.NO_OPINION else 0)


async def test_a_slow_webhook_delays_whoever_needs_it_alone(webhook: HttpsServer, tmp_path: Path) -> None:
    held = threading.Event()

    def slow(path: str, body: Any) -> Answer:
        held.wait(20)
        return answer({"allowed": True})(path, body)

    webhook.answer = slow
    try:
        async with authorizer(webhook, tmp_path, timeout_seconds=0.2, on_error=Verdict.DENY) as asked:
            assert (await ask(asked)).verdict is Verdict.DENY
    finally:
        held.set()


async def test_match_conditions(webhook: HttpsServer, tmp_path: Path) -> None:
    metrics = AuthorizerMetrics()
    conditions = ("has(request.resourceAttributes)", "request.resourceAttributes.namespace == 'default'")
    async with authorizer(webhook, tmp_path, *conditions, metrics=metrics) as asked:
        assert (await ask(asked)).allowed
        assert await ask(asked, QUESTION._replace(namespace="other")) == NO_OPINION
        # One that fails beside one that is false: not asked.
        assert await ask(asked, Attributes(ANN, "get", "abc", path="/x")) == NO_OPINION
    assert len(webhook.requests) == 1
    broken = ("request.extra['none'][0] == 'x'",)
    for on_error in (Verdict.NO_OPINION, Verdict.DENY):
        async with authorizer(webhook, tmp_path, *broken, on_error=on_error) as asked:
            assert await ask(asked) == Decision(on_error)
    assert len(webhook.requests) == 1
    shown = {s.name: s.value for metric in metrics.collect() for s in metric.samples if s.labels.get("name") == "w"}
    assert shown["apiserver_authorization_match_condition_exclusions_total"] == 2


async def test_a_kubeconfig_that_changes(webhook: HttpsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.apiserver.review_calls._LOOK_SECONDS", 0.0)
    async with authorizer(webhook, tmp_path, authorized=0) as asked:
        await ask(asked)
        webhook.kubeconfig(tmp_path / "kubeconfig", token="another")
        await ask(asked)
        (tmp_path / "kubeconfig").write_text("broken")
        await ask(asked)
    assert [headers.get("authorization") for *_, headers in webhook.requests] == [None, "Bearer another", "Bearer another"]


async def test_a_configuration_in_use(webhook: HttpsServer, tmp_path: Path) -> None:
    kubeconfig = webhook.kubeconfig(tmp_path / "kubeconfig")
    one = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(kubeconfig)},
    }
    authorizers: list[dict[str, Any]] = [{"type": "Webhook", "name": "first", "webhook": one}, {"type": "RBAC", "name": "rbac"}]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": authorizers}
    content = json.dumps(document).encode()
    webhooks = ConfiguredWebhooks(Calls(), AuthorizerMetrics())
    assert webhooks.order == (None,)
    await webhooks.use(content)
    first = webhooks.order[0]
    assert first is not None and first.name == "first" and webhooks.order[1:] == (None,)
    # The same configuration in other words keeps what is known.
    await webhooks.use(json.dumps(document, indent=2).encode())
    assert webhooks.order[0] is first
    kubeconfig.write_text("token: secret")
    authorizers[0]["name"] = "second"
    with pytest.raises(ConfigurationError, match="cannot use the kubeconfig") as caught:
        await webhooks.use(json.dumps(document).encode())
    assert "secret" not in str(caught.value) and webhooks.order[0] is first
    with pytest.raises(ConfigurationError, match="from file: empty config data"):
        read_valid(b"")


async def test_one_tenants_questions_do_not_delay_anothers(webhook: HttpsServer, tmp_path: Path) -> None:
    answers, go_on = webhook.answer, threading.Event()

    def slow(path: str, body: Any) -> tuple[int, Any]:
        go_on.wait(PATIENCE_SECONDS)
        return answers(path, body)

    webhook.answer = slow
    at_once = 4
    async with authorizer(webhook, tmp_path, timeout_seconds=PATIENCE_SECONDS) as asked:
        asked._calls._turns = ReviewTurns(at_once)
        flood = [
            asyncio.ensure_future(ask(asked, Attributes(User(f"u{number}"), "get", "many", path=f"/{number}")))
            for number in range(5 * at_once)
        ]
        await until(lambda: len(webhook.requests) == at_once - 1)
        last = asyncio.ensure_future(ask(asked, Attributes(User("bob"), "get", "few", path="/x")))
        # A quarter is left to others, while the webhook has not answered one of the many yet.
        await until(lambda: any(body["spec"]["user"] == "bob" for _, body, _ in webhook.requests))
        assert len(webhook.requests) == at_once
        go_on.set()
        await asyncio.gather(last, *flood)
