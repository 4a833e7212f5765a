"""Events as kube-apiserver writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from tenantry.kube.audit.event import Body, Event, user_agent

AT = datetime(2026, 11, 30, 21, 30, 1, 334942, tzinfo=UTC)


def event(**more: Any) -> Event:
    facts: dict[str, Any] = {
        "level": "RequestResponse",
        "audit_id": "create-1",
        "stage": "ResponseComplete",
        "uri": "/api/v1/namespaces/default/configmaps",
        "verb": "create",
        "user": {"username": "admin", "uid": "uid-admin", "groups": ["system:masters", "system:authenticated"]},
        "source_ips": ("127.0.0.1",),
        "user_agent": "u/1",
        "received": AT,
        "stage_time": AT,
        "object_ref": {"resource": "configmaps", "namespace": "default", "name": "aud", "apiVersion": "v1"},
        "status": {"metadata": {}, "code": 201},
    }
    return Event(**facts | more)


def test_json() -> None:
    """The line of kube-apiserver 1.37.2 for the same request."""
    made = event(request_object=Body((b'{"kind":"ConfigMap",', b'"data":{"a":"b"}}\n')), annotations={"b": "2", "a": "1"})
    assert made.json().decode() == (
        '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"create-1",'
        '"stage":"ResponseComplete","requestURI":"/api/v1/namespaces/default/configmaps","verb":"create","user":'
        '{"username":"admin","uid":"uid-admin","groups":["system:masters","system:authenticated"]},"sourceIPs":["127.0.0.1"],'
        '"userAgent":"u/1","objectRef":{"resource":"configmaps","namespace":"default","name":"aud","apiVersion":"v1"},'
        '"responseStatus":{"metadata":{},"code":201},"requestObject":{"kind":"ConfigMap","data":{"a":"b"}},'
        '"requestReceivedTimestamp":"2026-11-30T21:30:01.334942Z","stageTimestamp":"2026-11-30T21:30:01.334942Z",'
        '"annotations":{"a":"1","b":"2"}}'
    )


def test_without_managed_fields() -> None:
    fields = {"metadata": {"name": "x", "managedFields": [{"manager": "m"}]}}
    for value in (fields, {"items": [fields]}, {"rows": [{"object": fields}]}):
        body = Body((orjson.dumps(value),), omits_managed_fields=True)
        shown = event(response_object=body).json()
        assert b"managedFields" not in shown
        assert b'"name":"x"' in shown


def test_custom_resources_with_fields_of_lists_and_tables() -> None:
    """Clients choose the values: no error, which would take the events of others along."""
    values: tuple[Any, ...] = (5, True, "text", {"a": 1}, ["x", None, 3, {"object": 4}, {"metadata": []}])
    for odd in values:
        for name in ("items", "rows", "metadata"):
            body = Body((orjson.dumps({"kind": "Odd", name: odd}),), omits_managed_fields=True)
            assert orjson.loads(event(request_object=body).json())["requestObject"] == {"kind": "Odd", name: odd}


def test_an_event_is_one_line() -> None:
    pretty = orjson.dumps({"kind": "ConfigMap", "data": {"a": "b\nc"}}, option=orjson.OPT_INDENT_2)
    line = event(response_object=Body((pretty, b"\n"))).json()
    assert b"\n" not in line
    assert orjson.loads(line)["responseObject"] == {"kind": "ConfigMap", "data": {"a": "b\nc"}}


def test_an_empty_body_is_left_out() -> None:
    assert "responseObject" not in orjson.loads(event(response_object=Body((b"",))).json())


def test_texts_that_are_not_unicode() -> None:
    made = event(user={"username": "\udcff", "groups": ["a"]}, request_object=Body((b'{"kind":"X"}',)))
    shown = orjson.loads(made.json())
    assert shown["user"] == {"username": "?", "groups": ["a"]}
    assert shown["requestObject"] == {"kind": "X"}


def test_size_counts_what_clients_choose() -> None:
    """Events wait in memory, bounded by their sizes."""
    many = [f"group-{number}" for number in range(1000)]
    plain = event().size_bytes
    for more in (
        {"user": {"groups": many}},
        {"impersonated": {"groups": many}},
        {"source_ips": many},
        {"annotations": dict.fromkeys(many, "x")},
        {"status": {"message": "x" * 60000}},
    ):
        assert event(**more).size_bytes > plain + 50_000


def test_what_cannot_be_read_is_left_out() -> None:
    assert "requestObject" not in orjson.loads(event(request_object=Body((b"{",), omits_managed_fields=True)).json())


def test_truncated() -> None:
    cut = event(request_object=Body((b"{}",)), response_object=Body((b"{}",))).truncated()
    assert cut.annotations == {"audit.k8s.io/truncated": "true"}
    assert cut.request_object is None
    assert cut.response_object is None


def test_legacy() -> None:
    made = event(impersonated={"username": "bob", "groups": ["devs"]})
    assert made.legacy() == (
        '2026-11-30T21:30:01.334942Z AUDIT: id="create-1" stage="ResponseComplete" ip="127.0.0.1" method="create" user="admin" '
        'groups="\\"system:masters\\",\\"system:authenticated\\"" as="bob" asgroups="\\"devs\\"" user-agent="u/1" '
        'namespace="default" uri="/api/v1/namespaces/default/configmaps" response="201"'
    )
    early = event(user={}, status=None, object_ref=None, source_ips=()).legacy()
    assert ' ip="<unknown>" method="create" user="<none>" groups="<none>" as="<self>" asgroups="<lookup>"' in early
    assert early.endswith('namespace="<none>" uri="/api/v1/namespaces/default/configmaps" response="<deferred>"')


def test_long_user_agents_are_cut() -> None:
    assert user_agent("x" * 2000) == "x" * 1024 + "...TRUNCATED"
