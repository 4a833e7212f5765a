"""TLS alerts by which one side refuses the other one's certificate (RFC 8446 §6.2): how a server sends them, what a client reads.

With TLS 1.3 a client's handshake ends before the server has looked at its certificate, so a refusal may come after a request was
written. Nothing of that request was carried out: a server reads none before its own handshake has ended. A server that goes away
meanwhile sends no alert; so our clients write nothing until they have a session ticket, which is the first thing that a server
sends when its handshake has ended (RFC 8446 §4.6.1).
"""

from __future__ import annotations

import re
import ssl
import sys
from collections.abc import Callable
from typing import Any, Self

_UNREAD_BYTES = 4 << 20
"""What a refused client may still send before it is cut off: closing at once would reset the connection and lose the alert."""
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
"""Sent in a handshake alone. Alerts such as `internal error` may come at any time and say nothing about a request."""


def refusal(error: BaseException | None) -> str:
    """Why TLS refused a connection, in words such as "certificate expired"; empty where `error` is something else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        # Not `reason`: Python does not have names for all of OpenSSL's, and an error that Python code raised has none.
        found = _ALERT.search(str(error).upper().replace(" ", "_"))
        alert = found[1].rstrip("_") if found is not None else ""
        if alert in _REFUSALS:
            return alert.lower().replace("_", " ").replace(" ca", " CA")
    return ""


def use_objects(context: ssl.SSLContext, kind: type[HookedObject]) -> None:
    """Has a context make its TLS objects of a class of ours, and tries that.

    Raises RuntimeError on a Python whose `ssl` makes them in another way than by `SSLObject._create`, which no document promises:
    there a process must not start, as alerts, tickets and turns of handshakes would be lost without a word
    (docs/decisions/0016).
    """
    context.sslobject_class = kind
    server = context.protocol == ssl.PROTOCOL_TLS_SERVER
    made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server, None if server else "localhost")
    if not isinstance(made, kind) or not made.hooked:
        version = sys.version.split()[0]
        raise RuntimeError(f"the ssl module of Python {version} does not call SSLObject._create; run tenantry on Python 3.11")


class HookedObject(ssl.SSLObject):
    """The base of our classes of TLS objects. `SSLContext.wrap_bio` makes objects by `_create`, and `__init__` raises."""

    hooked = False
    """`_create` was called."""

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Self:
        made: Self = super()._create(*args, **kwargs)  # type: ignore[misc] # private, and checked by `use_objects`
        made.hooked = True
        return made


class TicketedObject(HookedObject):
    """For `SSLContext.sslobject_class` of clients: knows when the server's handshake has ended, too."""

    _accepted: bool
    _notify: Callable[[], None] | None

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Self:
        made = super()._create(*args, **kwargs)
        made._accepted, made._notify = False, None
        return made

    @property
    def accepted(self) -> bool:
        """Whether the server's handshake has ended. Before TLS 1.3 it ends first."""
        return self._accepted or self.version() != "TLSv1.3"

    def on_accepted(self, callback: Callable[[], None]) -> None:
        """Calls back once `accepted` becomes true."""
        self._notify = callback

    def read(self, *args: Any) -> Any:
        try:
            return super().read(*args)
        finally:
            # Tickets are taken in where data is looked for.
            if not self._accepted:
                session = self.session
                if session is not None and session.has_ticket:
                    self._accepted = True
                    if self._notify is not None:
                        self._notify()


class AlertingObject(HookedObject):
    """For `SSLContext.sslobject_class` of servers.

    asyncio and uvloop drop a connection whose handshake fails with what was still to be sent, the alert. Here such a failure
    first looks like a handshake that waits for more, which sends it; the client closes the connection then, or the loop's limit
    of a handshake's time does.
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
                # Without the frames that it went through: they hold this.
                self._failed = error.with_traceback(None)
        self._unread += len(self._incoming.read())
        if self._unread > _UNREAD_BYTES or self._incoming.eof:
            failed, self._failed = self._failed, None
            try:
                raise failed
            finally:
                del failed
        raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is on its way")
