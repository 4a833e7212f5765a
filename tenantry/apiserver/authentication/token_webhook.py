"""Tokens that a webhook reviews: a TokenReview is sent to it (kube-apiserver's --authentication-token-webhook-config-file)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from tenantry.apiserver.authentication.authenticator import InvalidToken, TokenIdentity
from tenantry.apiserver.deferred import SharedWork
from tenantry.apiserver.review_calls import ReviewCalls, ReviewFailed
from tenantry.apiserver.review_turns import NO_ASKER, Asker
from tenantry.apiserver.user import User, make_extra
from tenantry.base.cache import Cache

logger = logging.getLogger(__name__)

KEPT_BYTES = 8 << 20
_GROUP = "authentication.k8s.io"


class WebhookTokens:
    """`implicit_audiences`: those of the server, which a webhook that names none answers for. `kept_seconds`: how long an answer
    is kept, by the hash of the token and the audiences; failed calls are not kept. One review of a token is in progress at a
    time."""

    def __init__(
        self,
        calls: ReviewCalls,
        *,
        version: str,
        implicit_audiences: Sequence[str],
        kept_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._version = version
        self._implicit = tuple(implicit_audiences)
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._known: Cache[bytes, tuple[float, TokenIdentity | str | None]] = Cache("webhook_tokens", bytes_max=KEPT_BYTES)
        self._work = SharedWork()

    async def authenticate_token(self, token: str, audiences: Sequence[str], asker: Asker = NO_ASKER) -> TokenIdentity | None:
        key = sha256(b"\0".join(text.encode("utf-8", "surrogateescape") for text in (token, *audiences))).digest()
        answers: list[TokenIdentity | str | None] = []

        async def ask() -> None:
            answers.append(found := await self._reviewed(token, audiences, asker))
            if self._kept_seconds > 0:
                self._known.put(key, (self._clock() + self._kept_seconds, found))

        for _ in range(2):
            kept = self._known.get(key)
            if kept is not None and kept[0] > self._clock():
                return _result(kept[1])
            await self._work.run(key.hex(), ask)
            if answers:
                return _result(answers[0])
        # Answers are not kept, or the call that another caller made has failed.
        return _result(await self._reviewed(token, audiences, asker))

    async def _reviewed(self, token: str, audiences: Sequence[str], asker: Asker) -> TokenIdentity | str | None:
        """The user; why the token is refused; or None where the webhook does not know it. Raises InvalidToken where it does not
        answer."""
        spec: dict[str, Any] = {"token": token}
        if audiences:
            spec["audiences"] = list(audiences)
        try:
            status = await self._calls.send("TokenReview", f"{_GROUP}/{self._version}", spec, asker=asker)
        except ReviewFailed as error:
            logger.error("cannot review a token by webhook", extra={"error": str(error), "answer": error.answer})
            raise InvalidToken(str(error)) from None
        shared: tuple[str, ...] = ()
        if audiences:
            given = _texts(status.get("audiences")) or self._implicit
            shared = tuple(audience for audience in audiences if audience in given)
            if not shared:
                return None
        if status.get("authenticated") is not True:
            error_text = status.get("error")
            return error_text if isinstance(error_text, str) and error_text else None
        user = _user(status.get("user"))
        return TokenIdentity(user, shared) if user is not None else None


def _result(found: TokenIdentity | str | None) -> TokenIdentity | None:
    if isinstance(found, str):
        raise InvalidToken(found)
    return found


def _user(value: Any) -> User | None:
    if not isinstance(value, dict) or not isinstance(value.get("username"), str):
        return None
    extra = value.get("extra")
    return User(
        value["username"],
        _texts(value.get("groups")),
        value["uid"] if isinstance(value.get("uid"), str) else "",
        make_extra({key: list(_texts(values)) for key, values in extra.items()}) if isinstance(extra, dict) else (),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
