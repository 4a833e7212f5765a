"""Audit events that are sent to a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver.audit import webhook_backend
from tenantry.apiserver.audit.delivery import DeliveryFailed
from tenantry.apiserver.audit.truncation import Truncation
from tenantry.apiserver.audit.webhook_backend import WebhookBackend
from tenantry.apiserver.kubeconfig_file import read_endpoint
from tenantry.http.calls import Calls
from tests.kube.audit.test_event import event
from tests.support.https_servers import HttpsServer


@pytest.fixture
def server() -> Iterator[HttpsServer]:
    with HttpsServer(lambda path, body: (200, {})) as made:
        yield made


def backend(server: HttpsServer, tmp_path: Path, truncation: Truncation | None = None) -> WebhookBackend:
    (tmp_path / "ca.crt").write_text(server.ca)
    config = tmp_path / "webhook.kubeconfig"
    config.write_text(
        f"""
apiVersion: v1
kind: Config
clusters: [{{name: a, cluster: {{server: "{server.url}/audit", certificate-authority: "{tmp_path}/ca.crt"}}}}]
users: [{{name: b, user: {{token: secret}}}}]
contexts: [{{name: c, context: {{cluster: a, user: b}}}}]
current-context: c
"""
    )
    return WebhookBackend(read_endpoint(config), Calls(), backoff_seconds=0.001, truncation=truncation)


async def test_an_event_list(server: HttpsServer, tmp_path: Path) -> None:
    made = backend(server, tmp_path)
    await made.write([event(audit_id="1"), event(audit_id="2")])
    await made.close()
    ((path, body, headers),) = server.requests
    assert path == "/audit"
    assert headers["authorization"] == "Bearer secret"
    assert (body["kind"], body["apiVersion"], body["metadata"]) == ("EventList", "audit.k8s.io/v1", {})
    assert [item["auditID"] for item in body["items"]] == ["1", "2"]
    assert all("kind" not in item and item["level"] == "RequestResponse" for item in body["items"])


async def test_every_failure_is_tried_again(server: HttpsServer, tmp_path: Path) -> None:
    codes = iter((500, 404, 200))
    server.answer = lambda path, body: (next(codes), {})
    made = backend(server, tmp_path)
    await made.write([event()])
    assert len(server.requests) == 3
    server.answer = lambda path, body: (503, {})
    with pytest.raises(DeliveryFailed) as lost:
        await made.write([event(), event()])
    assert lost.value.lost == 2
    assert "secret" not in str(lost.value)
    assert len(server.requests) == 3 + webhook_backend.ATTEMPTS
    await made.close()


async def test_large_batches_are_split(server: HttpsServer, tmp_path: Path) -> None:
    made = backend(server, tmp_path, Truncation(event_bytes=2000, batch_bytes=2000))
    with pytest.raises(DeliveryFailed) as lost:
        await made.write([*(event(audit_id=str(number)) for number in range(5)), event(uri="/" + "x" * 3000)])
    await made.close()
    assert lost.value.lost == 1
    sent: list[Any] = [item["auditID"] for _, body, _ in server.requests for item in body["items"]]
    assert sent == ["0", "1", "2", "3", "4"]
    assert len(server.requests) > 1
