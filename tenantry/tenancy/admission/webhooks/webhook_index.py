"""The webhooks of each logical cluster, read when a write first asks for them.

A cluster without webhooks costs one look-up. What is read is kept, bounded in bytes, until a configuration changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.admission.webhooks.call_context import WebhooksNotRead
from tenantry.apiserver.admission.webhooks.webhook import Webhook, WebhookSet, read_webhooks
from tenantry.apiserver.worker_threads import workers
from tenantry.base.cache import Cache
from tenantry.kube.decode import NOT_OF_ITS_TYPE
from tenantry.tenancy.admission.configurations import AdmissionConfigurations, readable
from tenantry.tenancy.resources import MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS

_BYTES_MAX = 64 << 20
_AT_ONCE_BYTES = 32 << 10
"""So many bytes of configurations are read on the event loop: about a millisecond."""
_WEBHOOK_BYTES = 2 << 10
_PER_BYTE = 4


class ClusterWebhooks:
    """The webhooks of all clusters: those of this shard, and those of providers elsewhere."""

    def __init__(self, configurations: AdmissionConfigurations) -> None:
        self._configurations = configurations
        self._known: Cache[tuple[str, str], WebhookSet] = Cache("admission_webhooks", bytes_max=_BYTES_MAX, keeps_large=True)
        configurations.follow((MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS), self._changed)

    def find(self, review: Review, *, mutating: bool) -> WebhookSet | None:
        resource = MUTATING_WEBHOOK_CONFIGURATIONS if mutating else VALIDATING_WEBHOOK_CONFIGURATIONS
        cluster = review.home
        found = self._known.get((cluster, resource))
        if found is None:
            if not self._configurations.has_any(resource, cluster):
                return None
            configurations = self._configurations.list(resource, cluster)
            if sum(len(raw) for _, raw in configurations) > _AT_ONCE_BYTES:
                raise WebhooksNotRead(partial(self._read, cluster, resource, configurations))
            found = self._keep(cluster, resource, configurations, _webhooks(resource, configurations))
        return found

    async def _read(self, cluster: str, resource: str, configurations: Sequence[tuple[str, bytes]]) -> None:
        webhooks = await workers.run(cluster, lambda: _webhooks(resource, configurations))
        # What has changed while it was read is read again.
        if self._configurations.list(resource, cluster) == configurations:
            self._keep(cluster, resource, configurations, webhooks)
        else:
            await asyncio.sleep(0)

    def _keep(
        self, cluster: str, resource: str, configurations: Sequence[tuple[str, bytes]], webhooks: Sequence[Webhook]
    ) -> WebhookSet:
        made = WebhookSet(cluster, webhooks)
        size = sum(len(raw) for _, raw in configurations)
        self._known.put((cluster, resource), made, _PER_BYTE * size + _WEBHOOK_BYTES * len(webhooks))
        return made

    def _changed(self, cluster: str) -> None:
        for resource in (MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS):
            self._known.pop((cluster, resource))


def _webhooks(resource: str, configurations: Sequence[tuple[str, bytes]]) -> Sequence[Webhook]:
    try:
        return read_webhooks(configurations)
    except NOT_OF_ITS_TYPE:
        return read_webhooks(readable(resource, configurations))
