"""The authorizers of the server's configuration: those of the file --authorization-config, or RBAC and the flags' webhook."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from tenantry.apiserver.authorization import Verdict
from tenantry.apiserver.authorizers.metrics import AuthorizerMetrics
from tenantry.apiserver.authorizers.settings import AuthorizationSettings
from tenantry.apiserver.authorizers.webhook_authorizer import WebhookAuthorizer, WebhookRules
from tenantry.apiserver.configuration_file import ConfigurationFile
from tenantry.apiserver.kubeconfig_file import KubeconfigError, read_endpoint
from tenantry.apiserver.review_calls import ReviewCalls
from tenantry.base.flags import SettingError
from tenantry.base.metrics import Metrics
from tenantry.http.calls import Calls
from tenantry.kube.server_configuration import authorization_validation, go_durations
from tenantry.kube.server_configuration.authorization import (
    DENY,
    KUBECONFIG_FILE,
    NO_OPINION,
    RBAC,
    WEBHOOK,
    AuthorizationConfiguration,
    AuthorizerConfiguration,
    ConnectionInfo,
    WebhookConfiguration,
    read,
)
from tenantry.kube.server_configuration.decoding import ConfigurationError, aggregate

Order = Sequence[WebhookAuthorizer | None]
"""The authorizers in their order. None stands for RBAC."""
_FLAG_TIMEOUT_SECONDS = 30


class ConfiguredWebhooks:
    """`order`: the present authorizers. Call `start` and `stop`."""

    def __init__(self, calls: Calls, metrics: AuthorizerMetrics) -> None:
        self.metrics = metrics
        self.order: Order = (None,)
        self.file: ConfigurationFile | None = None
        self._calls = calls
        self._used: AuthorizationConfiguration | None = None

    def start(self) -> None:
        if self.file is not None:
            self.file.start()

    async def stop(self) -> None:
        if self.file is not None:
            await self.file.stop()

    async def use(self, content: bytes) -> None:
        """Takes another content of the file into use. Raises ConfigurationError."""
        configuration = await asyncio.to_thread(read_valid, content)
        if configuration != self._used:
            await self.take(configuration)

    async def take(self, configuration: AuthorizationConfiguration) -> None:
        """Takes a valid configuration into use. Raises ConfigurationError."""
        order = [await self._made(each) for each in configuration.authorizers]
        self.order, self._used = tuple(order), configuration

    async def _made(self, configuration: AuthorizerConfiguration) -> WebhookAuthorizer | None:
        webhook = configuration.webhook
        if webhook is None:
            return None
        path = Path(webhook.connection.kubeconfig_file or "")
        try:
            endpoint = await asyncio.to_thread(read_endpoint, path)
        except KubeconfigError as error:
            raise ConfigurationError(str(error)) from None
        name, second = configuration.name, go_durations.SECOND
        calls = ReviewCalls(
            path,
            endpoint,
            self._calls,
            timeout_seconds=webhook.timeout / second,
            observed=lambda result, seconds: self.metrics.evaluated(name, result, seconds),
        )
        rules = WebhookRules(
            version=webhook.review_version,
            on_error=Verdict.DENY if webhook.failure_policy == DENY else Verdict.NO_OPINION,
            conditions=tuple(map(authorization_validation.condition, webhook.match_conditions)),
            authorized_seconds=webhook.authorized_ttl / second if webhook.caches_authorized else 0,
            unauthorized_seconds=webhook.unauthorized_ttl / second if webhook.caches_unauthorized else 0,
        )
        return WebhookAuthorizer(name, calls, rules, self.metrics)


async def configured_webhooks(
    settings: AuthorizationSettings, *, calls: Calls, metrics: Metrics, process: str
) -> ConfiguredWebhooks | None:
    """As the settings say, None where they leave RBAC alone. `process`: its identity in metrics. Raises SettingError."""
    path, kubeconfig = settings.authorization_config, settings.authorization_webhook_config_file
    if not path and not kubeconfig:
        return None
    made = ConfiguredWebhooks(calls, AuthorizerMetrics())
    try:
        if path:
            content = await asyncio.to_thread(Path(path).read_bytes)
            await made.use(content)
            made.file = ConfigurationFile(
                Path(path),
                content,
                name="authorization configuration",
                prefix="apiserver_authorization_config_controller",
                process=process,
                use=made.use,
            )
            metrics.registry.register(made.file)
        else:
            await made.take(_of_flags(settings))
    except (OSError, ConfigurationError) as error:
        flag = "--authorization-config" if path else "--authorization-webhook-config-file"
        raise SettingError(f"{flag}: {error}") from None
    metrics.registry.register(made.metrics)
    return made


def read_valid(content: bytes) -> AuthorizationConfiguration:
    """The configuration in a file. Reads states of other files; call it in a thread. Raises ConfigurationError."""
    try:
        configuration = read(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"failed to load AuthorizationConfiguration from file: {error}") from None
    if errors := authorization_validation.validate(configuration, _file_problem):
        raise ConfigurationError(aggregate(errors))
    authorization_validation.check_names(configuration)
    return configuration


def _file_problem(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"error loading file: stat {path}: {(error.strerror or '').lower()}"
    return "" if stat.S_ISREG(mode) else "must be a regular file"


def _of_flags(settings: AuthorizationSettings) -> AuthorizationConfiguration:
    authorized, unauthorized = settings.webhook_seconds()
    second = go_durations.SECOND
    webhook = WebhookConfiguration(
        connection=ConnectionInfo(type=KUBECONFIG_FILE, kubeconfig_file=settings.authorization_webhook_config_file),
        timeout=_FLAG_TIMEOUT_SECONDS * second,
        authorized_ttl=round(authorized * second),
        caches_authorized=authorized > 0,
        unauthorized_ttl=round(unauthorized * second),
        caches_unauthorized=unauthorized > 0,
        review_version=settings.authorization_webhook_version,
        failure_policy=NO_OPINION,
    )
    return AuthorizationConfiguration(
        authorizers=(
            AuthorizerConfiguration(type=RBAC, name=RBAC.lower()),
            AuthorizerConfiguration(type=WEBHOOK, name="default", webhook=webhook),
        )
    )
