"""Calls one webhook: the request that it is sent, and what is wrong where it does not answer
(k8s.io/apiserver/pkg/util/webhook)."""

from __future__ import annotations

import asyncio
import math
from typing import NamedTuple

import orjson

from tenantry.apiserver.admission.webhooks.review_document import (
    AdmissionResponse,
    InvalidPatch,
    decode_response,
)
from tenantry.apiserver.admission.webhooks.services import Services
from tenantry.apiserver.admission.webhooks.webhook import Place, Webhook
from tenantry.apiserver.worker_threads import workers
from tenantry.http.outgoing import Destination, OutgoingCalls
from tenantry.http.outgoing_connection import OutgoingAnswer, OutgoingError
from tenantry.kube.webhook_answer import InvalidAnswer

_AT_ONCE_BYTES = 32 << 10
"""An answer in JSON up to this size is decoded on the event loop."""
_YAML_AT_ONCE_BYTES = 1 << 10
"""The same for other answers, which may be YAML."""
_TEXT_CHARACTERS = 2048
_MESSAGES = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class CallFailed(Exception):
    """A call that failed, in upstream's words. `code`: of the answer, for metrics."""

    def __init__(self, text: str, code: int = 503) -> None:
        super().__init__(text)
        self.code = code


class Sent(NamedTuple):
    """An AdmissionReview to send. `body(uid)` encodes it."""

    uid: str
    body: bytes
    mutating: bool


class WebhookCaller:
    def __init__(self, calls: OutgoingCalls, services: Services) -> None:
        self._calls = calls
        self._services = services

    async def call(self, webhook: Webhook, sent: Sent, *, owner: str, deadline: float) -> AdmissionResponse:
        """`owner`: the logical cluster whose webhook it is. `deadline`: that of the write. Raises CallFailed."""
        now = asyncio.get_running_loop().time()
        ends = min(deadline, now + webhook.timeout_seconds)
        query = f"timeout={max(1, math.ceil(ends - now))}s"
        try:
            body = await self.post(webhook.place, query, sent.body, owner=owner, deadline=ends)
        except CallFailed as failure:
            raise CallFailed(f"failed to call webhook: {failure}", failure.code) from None
        version = webhook.review_version
        try:
            if is_short(body):
                return decode_response(body, version=version, uid=sent.uid, mutating=sent.mutating)
            return await workers.run(owner, lambda: decode_response(body, version=version, uid=sent.uid, mutating=sent.mutating))
        except InvalidPatch as error:
            raise CallFailed(str(error)) from None
        except InvalidAnswer as error:
            text = "received invalid webhook response" if error.read else "failed to call webhook"
            raise CallFailed(f"{text}: {error}", 503 if error.read else 500) from None

    async def post(self, place: Place, query: str, body: bytes, *, owner: str, deadline: float) -> bytes:
        """What a webhook answers. Raises CallFailed where it does not answer, or with no success."""
        try:
            to, host = self._server(place, owner)
            answer = await self._calls.call(to, _request(host, place.path, query, body), owner=owner, deadline=deadline)
        except OutgoingError as error:
            raise CallFailed(f'Post "{place.url}?{query}": {error}') from None
        _check_answer(answer)
        return answer.body

    def _server(self, place: Place, owner: str) -> tuple[Destination, str]:
        """Where to call, and the Host of the request. Raises OutgoingError."""
        if place.service is not None:
            return self._services.resolve(place.service, place.bundle, owner)
        if place.destination is None:
            raise OutgoingError("unsupported URL")
        return place.destination, place.host


def is_short(body: bytes) -> bool:
    """Whether an answer may be decoded on the event loop."""
    if len(body) <= _YAML_AT_ONCE_BYTES:
        return True
    if len(body) > _AT_ONCE_BYTES:
        return False
    try:
        orjson.loads(body)
    except ValueError:
        return False
    return True


def _request(host: str, path: str, query: str, body: bytes) -> bytes:
    try:
        place = host.encode("ascii")
    except UnicodeEncodeError:
        raise OutgoingError("invalid host name") from None
    return (
        b"POST %b?%b HTTP/1.1\r\nHost: %b\r\nUser-Agent: kube-apiserver-admission\r\nAccept: application/json, */*\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), query.encode(), place, len(body), body)
    )


def _check_answer(answer: OutgoingAnswer) -> None:
    """Raises CallFailed for an answer that is no success, with client-go's text."""
    code = answer.status
    if not 200 <= code <= 206:
        raise CallFailed(_refusal(answer), code)
    if not answer.body:
        media_type = answer.content_type
        raise CallFailed(f"0-length response with status code: {code} and content type: {media_type}", 500)


def _refusal(answer: OutgoingAnswer) -> str:
    if answer.body[:1] == b"{":
        try:
            status = orjson.loads(answer.body[: 64 << 10])
        except ValueError:
            status = {}
        if isinstance(status, dict) and status.get("kind") == "Status" and status.get("status") == "Failure":
            message = status.get("message")
            return message[:_TEXT_CHARACTERS] if isinstance(message, str) else ""
    code = answer.status
    told = answer.body[:_TEXT_CHARACTERS].decode(errors="replace").strip() if _is_text(answer.content_type) else "unknown"
    if code in (403, 415):
        return told
    if code == 406:
        return (
            told
            if told not in ("", "unknown")
            else "the server was unable to respond with a content type that the client supports"
        )
    if code in _MESSAGES:
        return _MESSAGES[code]
    if code >= 500:
        return f"an error on the server ({orjson.dumps(told).decode()}) has prevented the request from succeeding"
    return f"the server responded with the status code {code} but did not return more information"


def _is_text(content_type: str) -> bool:
    return not content_type or content_type.lower().startswith("text/")
