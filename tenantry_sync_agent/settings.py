"""The settings of `tenantry-sync`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenantry.base.flags import Settings, setting


@dataclass(frozen=True, kw_only=True)
class SyncSettings(Settings):
    target: str = setting("", "name of the SyncTarget", "must be given")
    from_kubeconfig: Path = setting(
        Path("from.kubeconfig"),
        "kubeconfig whose current context is the workspace of the SyncTarget",
        "a file beside the other one; the flag may be shortened to --from",
    )
    to_kubeconfig: Path = setting(
        Path("to.kubeconfig"), "kubeconfig of the server to which objects are synced", "the flag may be shortened to --to"
    )
    resources: str = setting(
        "",
        "types of APIExports to sync, for example deployments.apps, separated by commas",
        "the types that every workspace has are always synced if the other server has them",
    )
    workers: int = setting(8, "objects that are synced at the same time", "each is one request at a time", bounds=(1, 1000))
    heartbeat_seconds: float = setting(
        10.0, "time between two heartbeats", "a third of the time after which a SyncTarget counts as lost", bounds=(0.1, 60)
    )
    discovery_seconds: float = setting(
        30.0,
        "time between two looks at the types that the servers have",
        "a new type is synced within this time",
        bounds=(0.1, 3600),
    )
    lease_namespace: str = setting("default", "namespace of the Lease of the leader election", "every server has it")
    lease_seconds: float = setting(
        15.0, "how long a follower waits for a leader that does not renew its Lease", "client-go's default", bounds=(1, 3600)
    )
    request_timeout_seconds: float = setting(
        5.0, "longest time for a request that is not a watch", "less than a third of --lease-seconds", bounds=(0.1, 600)
    )
    probe_address: str = setting("127.0.0.1", "address of /healthz, /readyz and /metrics", "a trial should not be reachable")
    probe_port: int = setting(
        8080, "port of /healthz, /readyz and /metrics; 0 takes a free one", "as controllers have it", bounds=(0, 65535)
    )
    log_level: str = setting(
        "info",
        "debug, info, warning or error",
        "one line for each change of the leader at info",
        choices=("debug", "info", "warning", "error"),
    )
