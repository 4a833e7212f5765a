"""TLS alerts that refuse a certificate (RFC 8446 §6.2): a server that sends them, and a client that reads them.

With TLS 1.3 the client's handshake ends before the server has checked the client's certificate. So an alert may come after a
request was written. That request was not executed, because a server reads no request before its own handshake has ended. But a
server that crashes in between sends no alert. So our clients send nothing until they have a session ticket, the first thing that
a server sends after its handshake (RFC 8446 §4.6.1).
"""

from __future__ import annotations

import re
import ssl
import sys
from collections.abc import Callable
from typing import Any, Self

_UNREAD_BYTES = 4 << 20
"""How many bytes a refused client may still send before the connection is closed. Closing at once would reset it and lose the
alert."""
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)")
_REFUSALS = frozenset(
    (
        "ACCESS_DENIED",
        "BAD_CERTIFICATE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REQUIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "DECRYPT_ERROR",
        "HANDSHAKE_FAILURE",
        "INSUFFICIENT_SECURITY",
        "PROTOCOL_VERSION",
        "UNKNOWN_CA",
        "UNSUPPORTED_CERTIFICATE",
    )
)
"""Alerts that are sent only in a handshake. Others, such as `internal error`, may come at any time and do not prove that a
request was not executed."""


def refusal(error: BaseException | None) -> str:
    """Why TLS refused a connection, in words such as "certificate expired". Empty if `error` has another cause."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        # `reason` is not used: Python does not know all names of OpenSSL, and errors that Python code raises have none.
        found = _ALERT.search(str(error).upper().replace(" ", "_"))
        alert = found[1].rstrip("_") if found is not None else ""
        if alert in _REFUSALS:
            return alert.lower().replace("_", " ").replace(" ca", " CA")
    return ""


def use_objects(context: ssl.SSLContext, kind: type[HookedObject]) -> None:
    """Sets the class of a context's TLS objects, and tests that the context uses it.

    Raises RuntimeError if this Python's `ssl` does not create them by `SSLObject._create`, which is private. Then the process
    does not start. Otherwise it would run without alerts, tickets and turns of handshakes (docs/decisions/0016).
    """
    context.sslobject_class = kind
    server = context.protocol == ssl.PROTOCOL_TLS_SERVER
    made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server, None if server else "localhost")
    if not isinstance(made, kind) or not made.hooked:
        version = sys.version.split()[0]
        raise RuntimeError(f"the ssl module of Python {version} does not call SSLObject._create; run tenantry on Python 3.11")


class HookedObject(ssl.SSLObject):
    """The base class of the TLS objects of this package. `SSLContext.wrap_bio` creates them by `_create`; `__init__` raises."""

    hooked = False
    """Whether `_create` was called."""

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Self:
        made: Self = super()._create(*args, **kwargs)  # type: ignore[misc] # private, and checked by `use_objects`
        made.hooked = True
        return made


class TicketedObject(HookedObject):
    """A client's SSLObject that reports when the server has completed its handshake too: when it has sent a session ticket (RFC
    8446 §4.6.1). Set it by `use_objects`."""

    _accepted: bool
    _notify: Callable[[], None] | None

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Self:
        made = super()._create(*args, **kwargs)
        made._accepted, made._notify = False, None
        return made

    @property
    def accepted(self) -> bool:
        """Whether the server's handshake has ended. Before TLS 1.3 it ends before the client's."""
        return self._accepted or self.version() != "TLSv1.3"

    def on_accepted(self, callback: Callable[[], None]) -> None:
        """Calls `callback` when `accepted` becomes true."""
        self._notify = callback

    def read(self, *args: Any) -> Any:
        try:
            return super().read(*args)
        finally:
            # OpenSSL processes tickets when it reads data.
            if not self._accepted:
                session = self.session
                if session is not None and session.has_ticket:
                    self._accepted = True
                    if self._notify is not None:
                        self._notify()


class AlertingObject(HookedObject):
    """A server's SSLObject that sends alerts. Set it by `use_objects`.

    When a handshake fails, asyncio and uvloop close the connection without sending the pending bytes, which are the alert. So
    this class first raises SSLWantReadError, as if the handshake waited for more bytes, and the loop sends the alert. Then the
    client closes the connection, or the time limit of the handshake ends it.
    """

    _incoming: ssl.MemoryBIO
    _failed: ssl.SSLError | None
    _unread: int

    @classmethod
    def _create(cls, incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> Self:
        made = super()._create(incoming, *args, **kwargs)
        made._incoming, made._failed, made._unread = incoming, None, 0
        return made

    def do_handshake(self) -> None:
        if self._failed is None:
            try:
                super().do_handshake()
                return
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError):
                raise
            except ssl.SSLError as error:
                # Without the traceback: its frames refer to this object.
                self._failed = error.with_traceback(None)
        self._unread += len(self._incoming.read())
        if self._unread > _UNREAD_BYTES or self._incoming.eof:
            failed, self._failed = self._failed, None
            try:
                raise failed
            finally:
                del failed
        raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is being sent")
