"""The settings of `tenantry shard`."""

from __future__ import annotations

from dataclasses import dataclass

from shard.options import ShardOptions
from tenantry.apiserver.admission.webhooks.services import Services
from tenantry.apiserver.audit.settings import AuditSettings
from tenantry.apiserver.authorizers.settings import AuthorizationSettings
from tenantry.apiserver.forwarded_settings import ForwardedSettings
from tenantry.apiserver.settings import (
    AuthenticationSettings,
    WatchSettings,
)
from tenantry.base.flags import SettingError, listed, other_default, setting
from tenantry.http.limits import Limits
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.placement.paths.cluster_paths import ROOT
from tenantry.storage.cell import NO_LIMITS, ClusterLimits, LimitsOf
from tenantry.storage.commit import CommitLimits
from tenantry.storage.history import HistoryLimits


@dataclass(frozen=True, kw_only=True)
class TenantSettings(AuthenticationSettings, AuthorizationSettings, WatchSettings, AuditSettings):
    """The settings of a process that serves workspaces."""

    enable_home_workspaces: bool = setting(
        True, "give users a workspace of their own when they ask for `workspaces/~` in root", "kcp's default"
    )
    home_workspaces_home_creator_groups: str = setting(
        "system:authenticated", "groups, separated by commas, whose users get a home workspace", "kcp's default"
    )
    max_cluster_objects: int = setting(
        100_000,
        "maximum number of objects of a workspace, without events; core.kcp.io/max-total-objects of its LogicalCluster "
        "overrides it; 0: no limit",
        "a list of all of them is 100 MB; root and system:* have no limit",
        bounds=(0, 1 << 40),
    )
    max_cluster_bytes: int = setting(
        512 * 1024 * 1024,
        "maximum total size of a workspace's objects in bytes; 0: no limit",
        "a quarter of etcd's default quota; a shard holds them in memory",
        bounds=(0, 1 << 50),
    )
    max_waiting_writes: int = setting(
        10_000,
        "maximum number of writes that wait for the store; one workspace gets at most --largest-tenant-share of it",
        "what etcd commits in one or two seconds",
        bounds=(200, 10_000_000),
    )
    max_waiting_write_bytes: int = setting(
        64 * 1024 * 1024,
        "maximum size of the writes that wait for the store, in bytes; one workspace gets at most --largest-tenant-share of it",
        "64 transactions of the largest size that etcd accepts",
        bounds=(8 * 1024 * 1024, 1 << 40),
    )
    webhook_networks: str = setting(
        "public",
        "addresses that webhooks of tenants may have: public, loopback, private, any, or networks such as 10.1.0.0/16, separated "
        "by commas",
        "no tenant reaches services of the operator by a webhook; name the networks of webhooks that run beside the platform",
    )
    webhook_service_host: str = setting(
        "",
        "host[:port] of webhooks that are named as services, with {name}, {namespace}, {cluster} and {port} in it",
        "empty: webhooks are found by their url alone, as in kcp",
    )
    api_export_urls: bool = setting(
        False,
        "also publish URLs in the deprecated APIExport.status.virtualWorkspaces",
        "off like kcp's feature gate; endpoint slices list only ranges with consumers, this field lists all ranges",
    )

    def limits_of(self) -> LimitsOf:
        """The limits of each logical cluster: those of the platform itself (`root`, `system:*`) have none."""
        limits = ClusterLimits(objects=self.max_cluster_objects, size_bytes=self.max_cluster_bytes)
        return lambda cluster: NO_LIMITS if cluster == ROOT or cluster.startswith("system:") else limits

    def commit_limits(self, largest_share: float) -> CommitLimits:
        """`largest_share`: the share of one workspace, between 0 and 1."""
        return CommitLimits(
            waiting_operations=self.max_waiting_writes,
            waiting_bytes=self.max_waiting_write_bytes,
            largest_share=largest_share,
        )

    def shard_options(self, *, limits: Limits, ttl_seconds: float) -> ShardOptions:
        """`limits`: those of the HTTP server. `ttl_seconds`: of the lease of a shard's session."""
        seats = limits.reading_requests + limits.writing_requests
        return ShardOptions(
            limits_of=self.limits_of(),
            commit_limits=self.commit_limits(limits.largest_share),
            history_limits=HistoryLimits(events=self.history_events),
            home_creator_groups=self.home_creator_groups(),
            publish_on_exports=self.api_export_urls,
            ttl_seconds=ttl_seconds,
            tenant_seats=max(1, round(seats * limits.largest_share)),
            webhook_networks=ReachableNetworks(self.webhook_networks),
            webhook_services=Services(self.webhook_service_host),
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, check in (("webhook_networks", ReachableNetworks), ("webhook_service_host", Services)):
            try:
                check(getattr(self, name))
            except ValueError as error:
                raise SettingError(f"--{name.replace('_', '-')}: {error}") from error

    def home_creator_groups(self) -> tuple[str, ...] | None:
        """The groups of --home-workspaces-home-creator-groups; None if home workspaces are disabled."""
        return listed(self.home_workspaces_home_creator_groups) if self.enable_home_workspaces else None


@dataclass(frozen=True, kw_only=True)
class ShardSettings(TenantSettings, ForwardedSettings):
    shard_name: str = setting("", "display name of the shard; the platform uses a unique id", "empty: the host's name")
    registry_servers: str = setting(
        "127.0.0.1:6445", "host:port of the registries, separated by commas; they open new ranges", "a registry on this machine"
    )
    session_ttl_seconds: float = setting(
        2.0,
        "how long a shard without a heartbeat still counts as alive",
        "a dead shard's ranges are unavailable for this time; etcd grants no lease shorter than its own election",
        bounds=(1, 60),
    )
    handover_seconds: float = setting(
        45.0,
        "how long to wait after SIGTERM until other shards own the ranges",
        "a range takes well under a second; the remaining ranges are taken over as from a dead shard",
        bounds=(0, 3600),
    )
    load_report_seconds: float = setting(
        2.0,
        "interval of the load reports to the registry",
        "balancing runs every 5 s, and a report is one write",
        bounds=(0.1, 3600),
    )
    peer_patience_seconds: float = setting(
        5.0,
        "how long a call to another shard waits until its range is served",
        "a dead shard's ranges have a new owner within this time",
        bounds=(0, 60),
    )
    secure_port: int = other_default(6443, "the same as the gateways'; gateways and other shards connect to it")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.registries():
            raise SettingError("--registry-servers names no registry")

    def registries(self) -> tuple[str, ...]:
        return listed(self.registry_servers)
