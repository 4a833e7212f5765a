"""What an operator chooses for the shards of a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tenantry.apiserver.admission.webhooks.services import Services
from tenantry.apiserver.user import AUTHENTICATED_GROUP
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.storage.cell import LimitsOf, unlimited
from tenantry.storage.commit import CommitLimits
from tenantry.storage.history import HistoryLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOptions:
    """`limits_of`: what each logical cluster may have. `home_creator_groups`: groups whose users may create a home workspace;
    None disables them. `publish_on_exports`: fill the deprecated `APIExport.status.virtualWorkspaces`. `ttl_seconds`: of the
    lease of a shard's session. `tenant_seats`: how many requests of one tenant may be in progress; its priority levels divide
    them. `webhook_networks` and `webhook_services`: which addresses webhooks may have, and where those are that are named as
    services."""

    limits_of: LimitsOf = unlimited
    commit_limits: CommitLimits | None = None
    history_limits: HistoryLimits | None = None
    home_creator_groups: Sequence[str] | None = (AUTHENTICATED_GROUP,)
    publish_on_exports: bool = False
    ttl_seconds: float = 2.0
    tenant_seats: int = 300
    webhook_networks: ReachableNetworks = field(default_factory=lambda: ReachableNetworks("public"))
    webhook_services: Services = field(default_factory=lambda: Services(""))
