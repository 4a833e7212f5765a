"""Which events the requests of a pipeline make."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tenantry.apiserver.audit.auditor import Auditor
from tenantry.apiserver.audit.delivery import BLOCKING, BLOCKING_STRICT, Delivery, Pace
from tenantry.apiserver.audit.trail import PROXIES_MAX, source_ips
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.http.errors import OUT_OF_TIME, BodyTooLarge
from tenantry.http.messages import Relay, Response, Stream
from tenantry.kube.audit.event import Event
from tenantry.kube.audit.policy import load
from tests.apiserver.audit.test_delivery import Memory
from tests.apiserver.test_pipeline import ServedScopes
from tests.support.sinks import MemorySink
from tests.support.waiting import until

ROOT = User("root", (MASTERS_GROUP,))


class Kept(Memory):
    """A backend that keeps what it is given, as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    async def write(self, events: Any) -> None:
        await super().write(events)
        self.events += [json.loads(event.json()) for event in events]


class Audited:
    """A pipeline whose requests are recorded."""

    def __init__(self, *rules: dict[str, Any], mode: str = BLOCKING, **more: Any) -> None:
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules or [{"level": "RequestResponse"}], **more}
        self.backend = Kept()
        self.auditor = Auditor(load(json.dumps(policy).encode()), [Delivery(self.backend, mode, Pace())])
        self.auditor.start()
        self.scopes = ServedScopes(auditor=self.auditor, annotations_of=lambda cluster: {"kcp.io/cluster": cluster})

    async def ask(self, path: str, method: str = "GET", user: User | None = ROOT, **more: Any) -> Any:
        return await self.scopes.pipeline(Request(method, path, user=user, request_id="id", remote="10.0.0.1", **more))

    def events(self) -> list[tuple[str, int | None]]:
        """(stage, code) of each."""
        return [(each["stage"], each.get("responseStatus", {}).get("code")) for each in self.backend.events]


async def test_the_stages_of_a_request() -> None:
    made = Audited()
    await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps/x", raw_query="a=b%2Fc")
    assert made.events()[0] == ("RequestReceived", None)
    first, last = made.backend.events[0], made.backend.events[-1]
    assert last["stage"] == "ResponseComplete"
    for each in (first, last):
        assert each["auditID"] == "id"
        assert each["requestURI"] == "/api/v1/namespaces/a/configmaps/x?a=b%2Fc"
        assert each["objectRef"] == {"resource": "configmaps", "namespace": "a", "name": "x", "apiVersion": "v1"}
        assert each["user"] == {"username": "root", "groups": ["system:masters"]}
        assert each["sourceIPs"] == ["10.0.0.1"]
        assert each["annotations"]["kcp.io/cluster"] == "abc"
    assert "authorization.k8s.io/decision" not in first["annotations"]
    assert last["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_refused_requests() -> None:
    made = Audited()
    reply = await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps/x", user=User("eve"))
    assert reply.status == 403
    last = made.backend.events[-1]
    assert last["responseStatus"]["reason"] == "Forbidden"
    assert "kind" not in last["responseStatus"]
    assert last["responseObject"] == json.loads(reply.body)
    assert last["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_levels() -> None:
    made = Audited({"level": "None", "verbs": ["get"]}, {"level": "Metadata"}, omitStages=["RequestReceived"])
    await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps/x", user=User("eve"))
    assert made.events() == []
    await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps", user=User("eve"))
    assert made.events() == [("ResponseComplete", 403)]
    assert "responseObject" not in made.backend.events[0]
    levels = {s.labels["level"]: s.value for m in made.auditor.metrics() for s in m.samples if "level" in s.labels}
    assert levels == {"None": 1, "Metadata": 1}


async def test_a_request_without_accepted_credentials() -> None:
    made = Audited()
    made.scopes = ServedScopes(auditor=made.auditor, anonymous=False)
    reply = await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps/x", user=None)
    assert reply.status == 401
    (only,) = made.backend.events
    assert only["stage"] == "ResponseStarted"
    assert only["user"] == {}
    assert only["responseStatus"]["reason"] == "Unauthorized"


async def test_impersonation() -> None:
    made = Audited()
    made.scopes.rules.allowed = lambda attributes: attributes.verb == "impersonate"
    headers = {"authorization": "Bearer master", "impersonate-user": "bob"}
    await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps/x", user=None, headers=headers)
    first, last = made.backend.events
    assert "impersonatedUser" not in first
    assert last["user"]["username"] == "root"
    assert last["impersonatedUser"]["username"] == "bob"
    assert "authenticationMetadata" not in first
    assert last["authenticationMetadata"] == {"impersonationConstraint": "impersonate:user-info"}


async def test_a_watch() -> None:
    made = Audited()
    ended = asyncio.Event()

    async def run(sink: Any) -> None:
        await ended.wait()

    async def serve(*_: Any) -> Stream:
        return Stream(run)

    made.scopes = ServedScopes(auditor=made.auditor, serve=serve)
    reply = await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps", raw_query="watch=true")
    assert made.events() == [("RequestReceived", None)]
    running = asyncio.ensure_future(reply.run(MemorySink()))
    await until(lambda: len(made.events()) > 1)
    assert made.events()[1:] == [("ResponseStarted", 200)]
    ended.set()
    await running
    await until(lambda: len(made.events()) > 2)
    assert made.events()[2:] == [("ResponseComplete", 200)]


@pytest.mark.parametrize("answer", [Response(429, b'{"kind":"Status","apiVersion":"v1","code":429,"message":"Too many"}'), None])
async def test_a_watch_that_the_server_does_not_begin(answer: Response | None) -> None:
    made = Audited()

    async def serve(*_: Any) -> Stream:
        async def run(sink: Any) -> None:
            raise AssertionError("it is dropped")

        return Stream(run)

    made.scopes = ServedScopes(auditor=made.auditor, serve=serve)
    reply = await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps", raw_query="watch=true")
    reply.dropped(answer)
    await until(lambda: len(made.events()) > 1)
    assert made.events() == [("RequestReceived", None), ("ResponseComplete", 429 if answer else 200)]
    message = made.backend.events[-1]["responseStatus"]["message"]
    assert message == "Too many" if answer else "Connection closed early" in message


@pytest.mark.parametrize(
    ("error", "stage", "code", "text"),
    [
        (BodyTooLarge(7), "ResponseComplete", 413, "Request entity too large: limit is 7"),
        (RuntimeError("a secret"), "Panic", 500, "request id failed"),
        (asyncio.CancelledError(), "ResponseComplete", 200, "Connection closed early"),
        (asyncio.CancelledError(OUT_OF_TIME), "ResponseComplete", 504, "did not complete within the allotted timeout"),
    ],
)
async def test_requests_that_have_no_answer(error: BaseException, stage: str, code: int, text: str) -> None:
    made = Audited()

    async def serve(*_: Any) -> Response:
        raise error

    made.scopes = ServedScopes(auditor=made.auditor, serve=serve)
    with pytest.raises(type(error)):
        await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps")
    await until(lambda: len(made.events()) > 1)
    assert made.events()[1:] == [(stage, code)]
    assert text in made.backend.events[-1]["responseStatus"]["message"]


async def test_what_another_process_answers_is_recorded_there() -> None:
    async def passed_on(*_: Any) -> Relay:
        return Relay(201, b"")

    made = Audited()
    made.scopes = ServedScopes(auditor=made.auditor, serve=passed_on, passes_on=lambda info: info.verb != "get")
    await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps", "POST")
    assert made.events() == []
    await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps", "POST", user=User("eve"))
    assert made.events() == [("RequestReceived", None), ("ResponseComplete", 403)]


async def test_strict_mode_refuses_what_is_not_recorded() -> None:
    for mode, status in ((BLOCKING, 403), (BLOCKING_STRICT, 500)):
        made = Audited(mode=mode)
        made.backend.fails = True
        reply = await made.ask("/clusters/abc/api/v1/namespaces/a/configmaps/x", user=User("eve"))
        assert reply.status == status
    assert json.loads(reply.body)["message"] == "Internal error occurred: failed to store audit event"


def test_source_addresses() -> None:
    """As kube-apiserver for the same request."""
    headers = {"x-forwarded-for": "1.2.3.4, 5.6.7.8, nonsense", "x-real-ip": "9.9.9.9"}
    assert source_ips(Request("GET", "/", headers=headers, remote="127.0.0.1")) == ["1.2.3.4", "5.6.7.8", "9.9.9.9", "127.0.0.1"]
    assert source_ips(Request("GET", "/", headers={"x-forwarded-for": "127.0.0.1"}, remote="127.0.0.1")) == ["127.0.0.1"]
    # A header may name thousands, each of which would take time of the event loop: only the last ones are read.
    many = [f"10.0.{number >> 8}.{number & 255}" for number in range(4000)]
    found = source_ips(Request("GET", "/", headers={"x-forwarded-for": ",".join(many)}, remote="127.0.0.1"))
    assert found == [*many[-PROXIES_MAX:], "127.0.0.1"]
    assert source_ips(Request("GET", "/", headers={"x-forwarded-for": "::1%" + "x" * 5000}, remote="::1")) == ["::1"]


def test_events_are_small() -> None:
    assert "__dict__" not in dir(Event)
