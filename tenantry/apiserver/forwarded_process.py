"""A process on etcd that gateways and other processes of the platform pass requests to: `tenantry shard`, `tenantry views`."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Collection
from typing import TypeVar

from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.authentication.client_certificate import RequestHeaders
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.authentication.front_proxies import front_proxies
from tenantry.apiserver.authentication.identity import Identity, identity_of, issuer_of
from tenantry.apiserver.authentication.shared_secrets import shared_admin_tokens, shared_issuer
from tenantry.apiserver.authorizers.configured_webhooks import ConfiguredWebhooks, configured_webhooks
from tenantry.apiserver.callers import ApiCallers
from tenantry.apiserver.forwarded import FORWARDED_HEADERS
from tenantry.apiserver.forwarded_settings import ForwardedSettings
from tenantry.apiserver.life_cycle import Process
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import https_server, serving_names
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.listen_addresses import WILDCARDS, own_address
from tenantry.http.messages import Reply
from tenantry.http.server import HttpServer
from tenantry.storage.etcd.config import parse_endpoint
from tenantry.storage.store import Store

SettingsKind = TypeVar("SettingsKind", bound=ForwardedSettings)


class ForwardedProcess(Process[SettingsKind]):
    """Such a process, without what it serves. `uid`: its identity in the platform, a new one at each start."""

    def __init__(self, settings: SettingsKind, store: Store, authority: CertificateAuthority) -> None:
        super().__init__(settings, store, authority)
        self.uid = uuid.uuid4().hex
        self._clients = ClientAuthority.of(settings, self.certificates)
        self._gateways = RequestHeaders(authority.certificate, allowed_names=common_names.FRONT_PROXIES)
        self._proxies = front_proxies(settings, self.certificates, self._clients, own=self._gateways)

    @abstractmethod
    async def _handle(self, request: Request) -> Reply:
        """Answers a request."""

    @abstractmethod
    def _tenant_of(self, path: str) -> str:
        """The tenant for which a request of a path counts, empty where it is not known."""

    async def _identity(self, *, peers: Collection[str] = (), signer: ClusterAuthority | None = None) -> Identity:
        """How callers are authenticated. It is stopped with the process. `peers`: names of servers that act for others without
        naming them. `signer`: where certificates of logical clusters are signed."""
        settings = self._settings
        issuer = issuer_of(settings.service_account_key_file) or await shared_issuer(self._store)
        proxies = (self._proxies.headers,) if self._proxies is not None else ()
        identity = await identity_of(
            settings,
            requests=[
                RequestHeaders(self._authority.certificate, allowed_names=common_names.FRONT_PROXIES, peers=tuple(peers)),
                *proxies,
                self._clients.identities(front_proxies=common_names.FRONT_PROXIES),
            ],
            users=(await shared_admin_tokens(self._store)).users(),
            issuer=issuer,
            signer=signer,
            calls=self.calls,
            metrics=self.metrics,
            process=self.uid,
        )
        self._stack.push_async_callback(identity.stop)
        identity.start()
        return identity

    async def _authorizers(self) -> ConfiguredWebhooks | None:
        """The authorization webhooks of the settings. They are stopped with the process."""
        authorizers = await configured_webhooks(self._settings, calls=self.calls, metrics=self.metrics, process=self.uid)
        if authorizers is not None:
            self._stack.push_async_callback(authorizers.stop)
            authorizers.start()
        return authorizers

    def _http_server(self) -> HttpServer[Request]:
        """Its certificate names `_address`, where the others reach it, and the address that it listens on. Raises
        CertificateError."""
        settings, clients, proxies = self._settings, self._clients, self._proxies
        return https_server(
            self._handle,
            settings,
            limits=settings.limits(watch_buffer_bytes=settings.watch_buffer_bytes, headers=FORWARDED_HEADERS),
            certificates=self.certificates,
            serving=self.certificates.serving("serving", serving_names(self._address(), settings.bind_address)),
            clients=clients,
            # Gateways and shards have certificates of the platform's CA, even if clients have those of another CA.
            servers_ca=self._authority.certificate if settings.client_ca_file else b"",
            metrics=self.metrics,
            callers=ApiCallers(
                self._tenant_of,
                certificates=clients.identities(front_proxies=common_names.FRONT_PROXIES),
                headers=(self._gateways,) if proxies is None else (self._gateways, proxies.headers),
            ),
            proxies=proxies,
        )

    def _address(self) -> str:
        """Where others reach it."""
        settings = self._settings
        if settings.advertise_address:
            return settings.advertise_address
        if settings.bind_address not in WILDCARDS:
            return settings.bind_address
        return own_address(parse_endpoint(settings.etcd().endpoints[0]).target)
