"""Admission webhooks of workspaces, called by real processes."""

from __future__ import annotations

import base64
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.provider import COWBOYS, Provider, binding, cowboy, home, schema
from tests.support.api import API_BINDINGS, CONFIG_MAPS, Api, Object, config_map
from tests.support.waiting import wait_for
from tests.support.webhooks import GROUP, PLURALS, WebhookServer, certificate, configuration, deny, patch, rule
from tools.ports import free_port

CONFIGURATIONS = f"/apis/{GROUP}/v1/"


@pytest.fixture
def hooks() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


def install(api: Api, kind: str, name: str, *webhooks: Object) -> None:
    api.create(CONFIGURATIONS + PLURALS[kind], configuration(kind, name, *webhooks))


def test_webhooks_change_and_deny_writes(place: Api, hooks: WebhookServer) -> None:
    labels = patch({"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}})
    install(place, "mutating", "labels", hooks.webhook("labels", labels, rules=[rule(operations="CREATE")]))
    keeps = deny("is kept")
    install(place, "validating", "keeps", hooks.webhook("keeps", keeps, rules=[rule(operations="DELETE")]))
    made = place.create(CONFIG_MAPS, config_map("one"))
    assert made["metadata"]["labels"] == {"seen": "yes"}
    refused = place.request("DELETE", f"{CONFIG_MAPS}/one").expect(403)
    assert refused["message"] == 'admission webhook "keeps.hooks.example" denied the request: is kept'
    place.delete(f"{CONFIGURATIONS}{PLURALS['validating']}/keeps")
    place.delete(f"{CONFIG_MAPS}/one")


def test_webhooks_of_controller_runtime(place: Api, webhooks_binary: Path, tmp_path: Path) -> None:
    chain, key = certificate()
    (tmp_path / "tls.crt").write_bytes(chain)
    (tmp_path / "tls.key").write_bytes(key)
    port = free_port()
    command = [str(webhooks_binary), "-port", str(port), "-certificates", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for kind, path in (("mutating", "default"), ("validating", "validate")):
                client = {
                    "url": f"https://127.0.0.1:{port}/{path}",
                    "caBundle": base64.b64encode(chain).decode(),
                }
                webhook = {
                    "name": f"{path}.sizes.example",
                    "clientConfig": client,
                    "rules": [rule(operations="CREATE,UPDATE")],
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }
                install(place, kind, "sizes", webhook)
            wait_for(lambda: place.status_of("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("try")) == 201, "the server listens")
            assert place.create(CONFIG_MAPS, config_map("one"))["data"] == {"size": "medium"}
            answer = place.request(
                "PATCH", f"{CONFIG_MAPS}/one", {"data": {"size": "large"}}, content_type="application/merge-patch+json"
            )
            assert answer.expect(403)["message"] == (
                'admission webhook "validate.sizes.example" denied the request: the size stays'
            )
            assert '299 - "sizes are for ever"' in answer.headers["Warning"]
        finally:
            process.terminate()
        assert process.stdout is not None
        assert "default CREATE one" in process.stdout.read().splitlines()


def test_a_slow_webhook_delays_the_writes_of_its_workspace_alone(
    root: Api, unique: Callable[[str], str], hooks: WebhookServer
) -> None:
    slow, quick = root.workspace(unique("slow")), root.workspace(unique("quick"))
    may_answer = threading.Event()

    def wait(review: Object) -> Object:
        may_answer.wait(25)
        return {"allowed": True}

    install(slow, "validating", "slow", hooks.webhook("slow", wait, timeoutSeconds=30))
    with ThreadPoolExecutor(40) as pool:
        try:
            waiting = [pool.submit(slow.status_of, "POST", CONFIG_MAPS, config_map(f"slow-{n}")) for n in range(40)]
            wait_for(lambda: len(hooks.asked("slow")) >= 20, "twenty writes wait for the webhook")
            began = time.monotonic()
            for number in range(20):
                quick.create(CONFIG_MAPS, config_map(f"quick-{number}"))
            assert time.monotonic() - began < 10
            # Reads of the same workspace, and its writes of other types, do not wait either.
            slow.items(CONFIG_MAPS)
            assert not any(each.done() for each in waiting)
        finally:
            may_answer.set()
        assert {each.result() for each in waiting} <= {201, 429}


def test_a_providers_webhook_reviews_the_objects_of_consumers(
    root: Api, unique: Callable[[str], str], hooks: WebhookServer
) -> None:
    provider, consumer = root.workspace(unique("provider")), root.workspace(unique("consumer"))
    Provider.install(provider, schema())
    guard = hooks.webhook("guard", deny("no cowboys"), rules=[rule("cowboys", group="example.com")])
    install(provider, "validating", "guard", guard)
    name = home(provider.get("/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"))
    consumer.create(API_BINDINGS, binding(name, "cowboys"))
    bound = f"{API_BINDINGS}/cowboys"
    wait_for(lambda: (consumer.get(bound).get("status") or {}).get("phase") == "Bound", "the binding is bound")

    def refused() -> bool:
        answer = consumer.request("POST", COWBOYS, cowboy("one"))
        return answer.status == 403 and "no cowboys" in answer.text

    wait_for(refused, "the provider's webhook denies")
    (request, *_) = hooks.asked("guard")
    assert request["object"]["metadata"]["name"] == "one" and home(request["object"]) != name
