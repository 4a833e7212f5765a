"""Events of audit.k8s.io/v1, in the form in which kube-apiserver writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from tenantry.kube.audit.policy import API_VERSION
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError

TRUNCATED = "audit.k8s.io/truncated"
_USER_AGENT_CHARACTERS = 1024
_CUT = "...TRUNCATED"
_FIXED_BYTES = 1024
_TEXT_BYTES = 64
_QUOTED = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """An object of a request or an answer: pieces of its text, which are not copied until the event is written. `decode` reads a
    text that is not JSON; an object that it cannot read is left out."""

    pieces: Sequence[bytes]
    omits_managed_fields: bool = False
    decode: Callable[[bytes], Object] | None = None

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.pieces))

    def json(self) -> orjson.Fragment | Object | None:
        """The JSON, as orjson takes it; None where it cannot be read. It may take long, so it is not called on the event
        loop."""
        joined = (self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)).strip()
        # In a text that is not decoded, a line end could only be of `pretty`: an event is one line.
        if self.decode is None and not self.omits_managed_fields and b"\n" not in joined:
            return orjson.Fragment(joined) if joined else None
        try:
            value = orjson.loads(joined) if self.decode is None else self.decode(joined)
        except (ValueError, StatusError):
            return None
        return without_managed_fields(value) if self.omits_managed_fields else value


@dataclass(slots=True, eq=False)
class Event:
    """One stage of a request. It is not changed; a frozen class takes three times as long to make.

    Times are in UTC. `object_ref` is None for requests for no resource. `status`: a Status without kind and apiVersion.
    """

    level: str
    audit_id: str
    stage: str
    uri: str
    verb: str
    user: Object
    source_ips: Sequence[str]
    user_agent: str
    received: datetime
    stage_time: datetime
    impersonated: Object | None = None
    impersonation_constraint: str = ""
    object_ref: Object | None = None
    status: Object | None = None
    request_object: Body | None = None
    response_object: Body | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_object(self) -> Object:
        """The event as JSON, with fields in kube-apiserver's order. The objects in it are fragments for orjson."""
        out: Object = {
            "kind": "Event",
            "apiVersion": API_VERSION,
            "level": self.level,
            "auditID": self.audit_id,
            "stage": self.stage,
            "requestURI": self.uri,
            "verb": self.verb,
            "user": self.user,
        }
        if self.impersonated is not None:
            out["impersonatedUser"] = self.impersonated
        if self.impersonation_constraint:
            out["authenticationMetadata"] = {"impersonationConstraint": self.impersonation_constraint}
        if self.source_ips:
            out["sourceIPs"] = list(self.source_ips)
        if self.user_agent:
            out["userAgent"] = self.user_agent
        if self.object_ref is not None:
            out["objectRef"] = self.object_ref
        if self.status is not None:
            out["responseStatus"] = self.status
        for name, body in (("requestObject", self.request_object), ("responseObject", self.response_object)):
            value = body.json() if body is not None else None
            if value is not None:
                out[name] = value
        out["requestReceivedTimestamp"] = micro_time(self.received)
        out["stageTimestamp"] = micro_time(self.stage_time)
        if self.annotations:
            out["annotations"] = dict(sorted(self.annotations.items()))
        return out

    def json(self) -> bytes:
        made = self.to_object()
        try:
            return orjson.dumps(made)
        except TypeError:
            # A text that is not Unicode hides no event.
            return orjson.dumps(_unicode(made))

    def legacy(self) -> str:
        """The line of the format `legacy`."""
        named, as_user = self.user, self.impersonated or {}
        groups = _list(named.get("groups") or ()) or "<none>"
        as_groups = _list(as_user["groups"]) if as_user.get("groups") is not None else "<lookup>"
        pairs = {
            "id": self.audit_id,
            "stage": self.stage,
            "ip": self.source_ips[0] if self.source_ips else "<unknown>",
            "method": self.verb,
            "user": named.get("username") or "<none>",
            "groups": groups if named.get("username") else "<none>",
            "as": as_user.get("username", "<self>"),
            "asgroups": as_groups,
            "user-agent": self.user_agent,
            "namespace": (self.object_ref or {}).get("namespace") or "<none>",
            "uri": self.uri,
        }
        code = (self.status or {}).get("code", 0) if self.status is not None else "<deferred>"
        shown = " ".join(f"{name}={_quoted(value)}" for name, value in pairs.items())
        when = micro_time(self.received).rstrip("Z").rstrip("0").rstrip(".")
        return f'{when}Z AUDIT: {shown} response="{code}"'

    @property
    def size_bytes(self) -> int:
        """About how much memory the event takes."""
        bodies = sum(body.size_bytes for body in (self.request_object, self.response_object) if body is not None)
        of_clients = (self.user, self.impersonated, self.source_ips, self.status, self.annotations)
        return _FIXED_BYTES + len(self.uri) + len(self.user_agent) + bodies + sum(map(_memory, of_clients))

    def truncated(self) -> Event:
        """The event without the objects of request and answer."""
        return replace(self, request_object=None, response_object=None, annotations={**self.annotations, TRUNCATED: "true"})


def micro_time(moment: datetime) -> str:
    """metav1.MicroTime of a moment in UTC."""
    # strftime takes ten times as long.
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def user_agent(text: str) -> str:
    """As much of a User-Agent as is recorded."""
    return text if len(text) <= _USER_AGENT_CHARACTERS else text[:_USER_AGENT_CHARACTERS] + _CUT


def without_managed_fields(value: Object) -> Object:
    """An object, a list or a Table without the managedFields of its objects. Changes `value`."""
    if not isinstance(value, dict):
        return value
    # A custom resource may have any values in fields of these names.
    items, rows = (found if isinstance(found := value.get(name), list) else () for name in ("items", "rows"))
    for obj in (value, *items, *(row.get("object") for row in rows if isinstance(row, dict))):
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        if isinstance(metadata, dict):
            metadata.pop("managedFields", None)
    return value


def _memory(value: Any) -> int:
    """About how many bytes of memory texts, lists and mappings take."""
    # Of each event. `isinstance` with Mapping takes several times as long.
    kind = value.__class__
    if kind is str:
        return _TEXT_BYTES + len(value)
    if kind is dict:
        return _TEXT_BYTES + sum([_TEXT_BYTES + len(name) + _memory(each) for name, each in value.items()])
    return _TEXT_BYTES + sum(map(_memory, value)) if kind is list or kind is tuple else 0


def _unicode(value: Any) -> Any:
    """A value with `?` for what no text of UTF-8 may have."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_unicode(name): _unicode(each) for name, each in value.items()}
    return [_unicode(each) for each in value] if isinstance(value, (list, tuple)) else value


def _list(values: Iterable[str]) -> str:
    return ",".join(map(_quoted, values))


def _quoted(text: str) -> str:
    return _QUOTED.encode(text)
