"""The CA that issues the certificates of clients: the platform's, or an operator's, whose file may change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from tenantry.apiserver.authentication.client_certificate import ClientCertificates
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.settings import HttpsSettings
from tenantry.base.broadcast import Broadcast
from tenantry.http.certificates import CertificateError
from tenantry.http.renewal import LOOK_SECONDS, Certificates, file_state, first_end

logger = logging.getLogger(__name__)

Install = Callable[[bytes], None]
"""Replaces the trusted CA certificates (PEM) of a server. Called on the event loop."""


class ClientAuthority:
    """The CA for client certificates. `pem` is the current CA. An operator's file is loaded again when it changes. A file that
    cannot be used is logged, and the previous CA stays in use."""

    def __init__(self, pem: bytes, path: Path | None = None, *, name: str = "client-ca-file", clusters: bytes = b"") -> None:
        """`pem` is the content of the file, and `name` the flag that names it. `clusters` (PEM): the authority for clients of one
        logical cluster each (`ClusterAuthority`), beside it. Raises CertificateError where it cannot be used."""
        self.name = name
        self.pem = pem
        self.end = _checked(pem)
        self._clusters = clusters
        self._path = path
        self._seen = file_state(path) if path is not None else None
        self._looked = 0.0
        self._changes: Broadcast[[bytes]] = Broadcast("the new CA of clients' certificates")

    @classmethod
    def of(cls, settings: HttpsSettings, certificates: Certificates) -> ClientAuthority:
        """The authority that a process's settings name; `certificates` renews it. Raises CertificateError."""
        clusters = ClusterAuthority(certificates.authority).pem
        if not settings.client_ca_file:
            return cls(certificates.authority.certificate, clusters=clusters)
        made = cls.read(Path(settings.client_ca_file), clusters=clusters)
        certificates.keep(made)
        return made

    @classmethod
    def read(cls, path: Path, *, name: str = "client-ca-file", clusters: bytes = b"") -> ClientAuthority:
        """The authority of an operator's file. Raises CertificateError."""
        try:
            return cls(path.read_bytes(), path, name=name, clusters=clusters)
        except (OSError, CertificateError) as error:
            raise CertificateError(f"--{name}: cannot use {path}: {error}") from error

    @property
    def trusted(self) -> bytes:
        """The CAs (PEM) that TLS accepts certificates of clients from."""
        return self.pem + self._clusters

    def follow(self, install: Install) -> None:
        """Calls `install` with every later CA."""
        self._changes.subscribe(install)

    def identities(self, *, front_proxies: frozenset[str] | tuple[str, ...] = ()) -> ClientCertificates:
        """An authenticator for certificates of this CA, and of each later one."""
        made = ClientCertificates(self.pem, clusters_ca=self._clusters, front_proxies=front_proxies)
        self.follow(made.renew)
        return made

    def due(self) -> float:
        return self._looked + LOOK_SECONDS

    async def renew(self, now: float) -> None:
        """Checks the file for changes. Raises CertificateError."""
        self._looked = now
        found = await asyncio.to_thread(self._changed)
        if found is None:
            return
        self.pem, self.end = found
        self._changes.send(self.pem)
        logger.info("reloaded %s", self.name)

    def _changed(self) -> tuple[bytes, float] | None:
        assert self._path is not None
        state = file_state(self._path)
        if state == self._seen:
            return None
        # Read before the content, so that a write in between counts as another change.
        self._seen = state
        try:
            pem = self._path.read_bytes()
        except OSError as error:
            raise CertificateError(f"cannot read {self._path}: {error.strerror}") from error
        return None if pem == self.pem else (pem, _checked(pem))

    def __repr__(self) -> str:
        return f"<ClientAuthority {self._path or 'of the platform'}>"


def _checked(pem: bytes) -> float:
    """When the first of these certificates expires, in Unix time. Raises where one of them cannot be used."""
    end = first_end(pem)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem.decode("ascii"))
    except (OSError, ValueError) as error:
        raise CertificateError(f"the CA of clients' certificates cannot be used: {error}") from error
    return end
