"""What is recorded of one request, from its authentication to the end of its answer."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import User
from tenantry.base.cache import cached
from tenantry.http.messages import Request, Response
from tenantry.kube.audit.event import Body, Event, user_agent
from tenantry.kube.audit.policy import COMPLETE, RECEIVED, REQUEST_RESPONSE, STARTED, Recorded
from tenantry.kube.codec import protobuf, yaml_codec
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError

DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
PROXIES_MAX = 16
"""The addresses of proxies that are recorded. kube-apiserver records all; to read one takes 20 µs of the event loop, and a header
may name thousands."""
_ADDRESS_CHARACTERS = 256
"""More than any address with its zone has."""
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~:@!$&'()*+,;=-]*")
_SAFE_IN_PATH = "/._~:@!$&'()*+,;=-"
_STATUS_BEGINS = b'{"kind":"Status"'
_CLOSED_EARLY: Object = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
"""kube-apiserver's, for a client that went away before it was answered."""


class AuditTrail:
    """Collects what the steps of a request tell, and makes an event of it at each stage.

    `path`: in the scope of the request. `authenticated`: whether the caller is known; else the only event is that of the answer.
    """

    def __init__(
        self, request: Request, user: User, attributes: Attributes, path: str, recorded: Recorded, *, authenticated: bool = True
    ) -> None:
        self.recorded = recorded
        self.authenticated = authenticated
        self.waits = False
        """Whether that it was received is recorded with its answer."""
        self.status: Object | None = None
        self.impersonated: User | None = None
        self.impersonation_constraint = ""
        self.annotations: dict[str, str] = {}
        self._audit_id = request.request_id
        self._attributes = attributes
        self._received = datetime.now(UTC)
        self._source_ips = source_ips(request)
        self._uri = _uri(path, request.raw_query)
        self._user_agent = user_agent(request.header("user-agent"))
        self._who = user.to_user_info() if authenticated else {}
        self._reference = _reference(attributes) if attributes.is_resource else None
        self._sent: Body | None = None
        self._answered: Body | None = None

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Adds annotations. A key that is there keeps its value, as in kube-apiserver."""
        for key, value in annotations.items():
            self.annotations.setdefault(key, value)

    def sent(self, obj: Object) -> None:
        """The object that the client sent, decoded and defaulted. It may be called in a thread, because it copies the object."""
        reference = self._reference
        metadata = obj.get("metadata")
        if reference is not None and isinstance(metadata, dict):
            for field in ("namespace", "name", "uid", "resourceVersion"):
                value = metadata.get(field)
                if value and isinstance(value, str) and not reference.get(field):
                    reference[field] = value
        if self.recorded.objects_sent:
            first = {name: obj[name] for name in ("kind", "apiVersion") if name in obj}
            self._sent = Body((_text({**first, **obj}),), self.recorded.omits_managed_fields)

    def sent_value(self, value: Any) -> None:
        """A patch, or another body that is no object of the type."""
        if self.recorded.objects_sent:
            self._sent = Body((_text(value),))

    def failed(self, error: StatusError) -> None:
        """The error that is answered."""
        self.status = {name: value for name, value in error.to_object().items() if name not in ("kind", "apiVersion")}

    def answered(self, response: Response) -> None:
        """The whole answer."""
        is_json, is_status = response.content_type.startswith("application/json"), response.body.startswith(_STATUS_BEGINS)
        if self.status is None and is_status and not response.more:
            self.status = {
                name: value for name, value in orjson.loads(response.body).items() if name not in ("kind", "apiVersion")
            }
        self.status = {**(self.status or {"metadata": {}}), "code": response.status}
        decode: Callable[[bytes], Object] | None = None
        if response.content_type.startswith("application/yaml"):
            decode = _of_yaml
        elif response.content_type.startswith("application/vnd.kubernetes.protobuf"):
            decode = protobuf.decode
        elif not is_json:
            return
        # Documents without a kind, such as those of OpenAPI, are no objects.
        is_object = self._attributes.is_resource or response.status >= 400 or response.body.startswith(b'{"kind":')
        if self.recorded.level == REQUEST_RESPONSE and is_object:
            self._answered = Body((response.body, *response.more), self.recorded.omits_managed_fields, decode)

    def closed_early(self) -> None:
        """The client went away before it was answered."""
        if self.status is None:
            self.status = _CLOSED_EARLY

    def event(self, stage: str) -> Event | None:
        """The event of a stage; None where it is not recorded."""
        recorded = self.recorded
        if stage in recorded.omits or (stage in (RECEIVED, COMPLETE) and not self.authenticated):
            return None
        done = stage != RECEIVED
        now = self._received if stage == RECEIVED else datetime.now(UTC)
        return Event(
            level=recorded.level,
            audit_id=self._audit_id,
            stage=stage,
            uri=self._uri,
            verb=self._attributes.verb,
            user=self._who,
            source_ips=self._source_ips,
            user_agent=self._user_agent,
            received=self._received,
            stage_time=now,
            impersonated=self.impersonated.to_user_info() if self.impersonated is not None else None,
            impersonation_constraint=self.impersonation_constraint,
            object_ref={name: value for name, value in self._reference.items() if value} if self._reference is not None else None,
            status=self.status if done else None,
            request_object=self._sent if done else None,
            response_object=self._answered if done else None,
            annotations=dict(self.annotations),
        )

    @property
    def last_stage(self) -> str:
        return COMPLETE if self.authenticated else STARTED


def _uri(path: str, query: str) -> str:
    if _PLAIN_PATH.fullmatch(path) is None:
        path = quote(path, safe=_SAFE_IN_PATH, errors="surrogateescape")
    return f"{path}?{query}" if query else path


def _text(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Numbers beyond 64 bits.
        return json.dumps(value, default=str).encode()


def _of_yaml(text: bytes) -> Object:
    value, _ = yaml_codec.decode(text)
    return value if isinstance(value, dict) else {}


def _reference(attributes: Attributes) -> Object:
    return {
        "resource": attributes.resource,
        "namespace": attributes.namespace,
        "name": attributes.name,
        "uid": "",
        "apiGroup": attributes.group,
        "apiVersion": attributes.version,
        "resourceVersion": "",
        "subresource": attributes.subresource,
    }


def source_ips(request: Request) -> list[str]:
    """The addresses of a request: the last of those that proxies name, which may be invented, and at the end that of the
    connection."""
    found: list[str] = []
    forwarded, real = request.header("x-forwarded-for"), _address(request.header("x-real-ip").strip())
    if forwarded:
        found += filter(None, (_address(text.strip()) for text in forwarded.rsplit(",", PROXIES_MAX)[-PROXIES_MAX:]))
    if real and real not in found:
        found.append(real)
    remote = _address(request.remote)
    if remote and (not found or found[-1] != remote):
        found.append(remote)
    return found


@cached("addresses", bytes_max=256 << 10)
def _address(text: str) -> str:
    """The address in its usual form, empty where it is none."""
    try:
        return str(ipaddress.ip_address(text)) if 0 < len(text) <= _ADDRESS_CHARACTERS else ""
    except ValueError:
        return ""
