"""The certificates of one process. They are issued, renewed before they expire, and installed without a restart."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenantry.base.tasks import restarting
from tenantry.http.certificates import (
    LIFE_SECONDS,
    CertificateAuthority,
    CertificateError,
    Pair,
    Validity,
    pair_server_context,
)

LOOK_SECONDS = 10.0
"""How often the time and an operator's files are checked. Long timers are not reliable: clocks are set, and machines sleep."""
RETRY_SECONDS = 5.0
"""The pause after a failure, or a twentieth of the certificate's life if that is less."""
_SHORTEST_SECONDS = 0.05

logger = logging.getLogger(__name__)

Install = Callable[[Pair], Awaitable[None] | None]
"""Makes a server or client use another certificate for new connections. It is called on the event loop."""


class Renewed(Protocol):
    """A certificate or another file that `Certificates` renews."""

    @property
    def name(self) -> str: ...

    @property
    def end(self) -> float:
        """When it expires, in Unix time."""

    def due(self) -> float:
        """When `renew` has to be called next, in Unix time."""

    async def renew(self, now: float) -> None:
        """Renews or reloads it. `now`: Unix time. An error is logged, and it is called again when it is due."""


class Certificate(ABC):
    """A certificate that this process uses. `pair`: the present one."""

    def __init__(self, name: str, pair: Pair) -> None:
        """Raises CertificateError (the certificate cannot be read)."""
        self.name = name
        self.pair = pair
        self.validity = Validity.of(pair.certificate)
        self._installs: list[Install] = []

    @property
    def end(self) -> float:
        """When it expires, in Unix time."""
        return self.validity.end

    def follow(self, install: Install) -> None:
        """Calls `install` with every later pair.

        This is not a `Broadcast`: some `install` calls are awaited, and after a failure all are repeated.
        """
        self._installs.append(install)

    @abstractmethod
    def due(self) -> float:
        """When `renew` has to be called next, in Unix time."""

    @abstractmethod
    async def renew(self, now: float) -> None:
        """Renews or reloads it. `now`: Unix time. An error is logged, and it is called again when it is due."""

    async def _install(self, pair: Pair) -> bool:
        """Gives the pair to all subscribers. Returns whether all of them succeeded."""
        self.validity, self.pair = Validity.of(pair.certificate), pair
        done = True
        for install in self._installs:
            try:
                waiting = install(pair)
                if waiting is not None:
                    await waiting
            except Exception:  # the others still get it
                logger.exception("cannot install the new certificate %s", self.name)
                done = False
        return done

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} until {_text(self.validity.end)}>"


class Issued(Certificate):
    """A certificate of the platform's own CA. `make`: issues a new one; it is called in a thread."""

    def __init__(self, name: str, pair: Pair, make: Callable[[], Pair]) -> None:
        super().__init__(name, pair)
        self._make = make
        self._again: float | None = None

    def due(self) -> float:
        return self.validity.renew_at if self._again is None else self._again

    async def renew(self, now: float) -> None:
        self._again = now + min(RETRY_SECONDS, self.validity.life_seconds / 20)
        if await self._install(await asyncio.to_thread(self._make)):
            self._again = None
        logger.info("certificate %s was renewed", self.name, extra={"until": _text(self.validity.end)})


class FromFiles(Certificate):
    """An operator's certificate. It is loaded again when its files change, as kube-apiserver does. If the new pair cannot be
    used, the error is logged and the previous one stays in use."""

    def __init__(self, name: str, certificate_path: Path, key_path: Path) -> None:
        """Raises CertificateError."""
        self._paths = (certificate_path, key_path)
        self._seen = self._state()
        super().__init__(name, Pair.read(certificate_path, key_path))
        self._looked = 0.0

    def due(self) -> float:
        return self._looked + LOOK_SECONDS

    async def renew(self, now: float) -> None:
        self._looked = now
        pair = await asyncio.to_thread(self._changed)
        if pair is not None and await self._install(pair):
            logger.info("certificate %s was loaded again", self.name, extra={"until": _text(self.validity.end)})

    def _changed(self) -> Pair | None:
        state = self._state()
        if state == self._seen:
            return None
        # Set before the files are read: a write during the read is another change.
        self._seen = state
        pair = Pair.read(*self._paths)
        if pair == self.pair:
            return None
        pair_server_context(pair)
        if _kind(pair) is not _kind(self.pair):
            # A TLS context keeps one certificate for each kind of key, and clients choose. The old one would stay in use.
            raise CertificateError(
                f"{self._paths[0]} has another kind of key than the certificate in use; restart the process to use it"
            )
        return pair

    def _state(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(file_state(path) for path in self._paths)


class Certificates(Collector):
    """The certificates of one process, and the task that renews them. `life_seconds`: the life of issued certificates."""

    def __init__(self, authority: CertificateAuthority, *, life_seconds: float = LIFE_SECONDS) -> None:
        self.authority = authority
        self._life_seconds = life_seconds
        self._certificates: dict[str, Renewed] = {}
        self._ca_end = first_end(authority.certificate)
        self._task: asyncio.Task[None] | None = None
        self._added = asyncio.Event()
        self._renewing = asyncio.Lock()

    def serving(self, name: str, names: Sequence[str]) -> Certificate:
        """Issues a serving certificate for host names and addresses. Raises CertificateError."""
        return self._issued(name, lambda: self.authority.issue_serving(names, life_seconds=self._life_seconds))

    def client(self, name: str, user: str) -> Certificate:
        """Issues a client certificate for a user. Raises CertificateError."""
        return self._issued(name, lambda: self.authority.issue_client(user, life_seconds=self._life_seconds))

    def serving_files(self, name: str, directory: Path, names: Sequence[str]) -> Certificate:
        """As `serving`, stored in the files `serving.crt` and `serving.key`. Raises CertificateError, OSError."""

        def kept() -> Pair:
            return Pair.read(*self.authority.serving(directory, names, life_seconds=self._life_seconds))

        return self._issued(name, kept)

    def client_files(self, name: str, directory: Path, user: str) -> Certificate:
        """As `client`, for programs that read the files `<name>.crt` and `<name>.key`. Raises CertificateError, OSError."""

        def written() -> Pair:
            pair = self.authority.issue_client(user, life_seconds=self._life_seconds)
            pair.write(directory / f"{name}.crt", directory / f"{name}.key")
            return pair

        return self._issued(name, written)

    def of_files(self, name: str, certificate_path: Path, key_path: Path) -> Certificate:
        """Reads an operator's certificate. Raises CertificateError."""
        return self._kept(FromFiles(name, certificate_path, key_path))

    async def renew(self) -> None:
        """Renews the certificates that are due. Waits for a renewal in progress first."""
        async with self._renewing:
            now = self._now()
            for certificate in list(self._certificates.values()):
                if certificate.due() <= now:
                    try:
                        await certificate.renew(now)
                    except Exception:  # the others are still renewed
                        logger.exception("cannot renew certificate %s", certificate.name)

    async def stop(self) -> None:
        """Stops renewing."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        ends = GaugeMetricFamily(
            "tenantry_certificate_expiry_seconds", "When a certificate expires, in Unix time.", labels=("certificate",)
        )
        ends.add_metric(("ca",), self._ca_end)
        for name, certificate in self._certificates.items():
            ends.add_metric((name,), certificate.end)
        yield ends

    def keep(self, certificate: Renewed) -> None:
        """Renews a certificate from now on."""
        self._certificates[certificate.name] = certificate
        self._added.set()
        if self._task is None:
            self._task = restarting(self._run, name="certificates")

    def _issued(self, name: str, make: Callable[[], Pair]) -> Certificate:
        return self._kept(Issued(name, make(), make))

    def _kept(self, certificate: Certificate) -> Certificate:
        self.keep(certificate)
        return certificate

    async def _run(self) -> None:
        while True:
            self._added.clear()
            due = min(certificate.due() for certificate in self._certificates.values())
            pause = min(max(due - self._now(), _SHORTEST_SECONDS), LOOK_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._added.wait()
            await self.renew()

    def _now(self) -> float:
        return self.authority.now().timestamp()

    def __repr__(self) -> str:
        return f"<Certificates {list(self._certificates.values())}>"


def first_end(pem: bytes) -> float:
    """When the first of these certificates expires, in Unix time. Raises CertificateError."""
    try:
        return min(certificate.not_valid_after_utc.timestamp() for certificate in x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise CertificateError(f"a certificate cannot be read: {error}") from error


def _kind(pair: Pair) -> type:
    return type(x509.load_pem_x509_certificate(pair.certificate).public_key())


def file_state(path: Path) -> tuple[int, ...] | None:
    """A value that changes when the file changes. None: there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _text(unix_time: float) -> str:
    return datetime.fromtimestamp(unix_time, UTC).isoformat(timespec="seconds")
