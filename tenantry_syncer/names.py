"""Labels, annotations, finalizers and keys of kcp's workload API (kcp 0.11, pkg/apis/workload/v1alpha1)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

GROUP = "workload.kcp.io"
VERSION = "v1alpha1"
SYNC_TARGETS = "synctargets"

STATE_LABEL_PREFIX = "state.workload.kcp.io/"
"""With the key of a SyncTarget, or with its name in its own logical cluster: how an object is assigned to it."""
SYNC = "Sync"
"""The value of the state label of objects that are synced downwards."""
UPSYNC = "Upsync"
"""The value of the state label of objects that come from below."""
HELD_LABEL_PREFIX = "held.internal.workload.kcp.io/"
"""A label of objects that have the finalizer of a syncer. The view sets it, and shows such an object until the syncer gives it
up, even if it is not assigned any more."""
OWNER_LABEL = "internal.workload.kcp.io/cluster"
"""A label of objects below. Its value is the key of the SyncTarget whose syncer owns them."""
FINALIZER_PREFIX = "workload.kcp.io/syncer-"
SPEC_DIFF_PREFIX = "experimental.spec-diff.workload.kcp.io/"
"""An annotation with a JSON patch of the spec: what one SyncTarget sees of it."""
SPEC_DIFF_ERROR_PREFIX = "experimental.spec-diff-error.workload.kcp.io/"
"""An annotation of the picture: why the patch of the spec is not applied."""
DELETION_PREFIX = "deletion.internal.workload.kcp.io/"
"""An annotation with the time since which an object is being deleted for one SyncTarget."""
CONFLICT_PREFIX = "conflict.workload.kcp.io/"
"""An annotation of the syncer: why it does not sync the object."""
LOCATOR_ANNOTATION = "kcp.io/namespace-locator"
"""An annotation of namespaces below, and of the objects in them: where they come from, in JSON."""
CLUSTER_ANNOTATION = "kcp.io/cluster"
UPSTREAM_UID_ANNOTATION = "internal.workload.kcp.io/upstream-uid"
UPSTREAM_VERSION_ANNOTATION = "workload.kcp.io/rv"
"""An annotation of upsynced objects: the resourceVersion below (kcp)."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_KEY_LENGTH = 20
_NAMESPACE_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Target:
    """A SyncTarget: the id of its logical cluster, its name, and its uid (empty where it does not matter).

    `key`: what labels and annotations name it by: 20 characters, the same for the same cluster and name.
    """

    cluster: str
    name: str
    uid: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _base36(f"{self.cluster}/{self.name}", _KEY_LENGTH))

    @property
    def finalizer(self) -> str:
        return FINALIZER_PREFIX + self.key

    @property
    def held_label(self) -> str:
        return HELD_LABEL_PREFIX + self.key

    def state_labels(self, cluster: str) -> tuple[str, ...]:
        """The labels that assign objects of a logical cluster to it. Its name counts in its own cluster alone: SyncTargets of
        others may have the same."""
        by_key = STATE_LABEL_PREFIX + self.key
        return (by_key, STATE_LABEL_PREFIX + self.name) if cluster == self.cluster else (by_key,)


def locator(target: Target, cluster: str, namespace: str) -> str:
    """The value of `LOCATOR_ANNOTATION` for a namespace of a logical cluster."""
    return json.dumps(
        {"syncTarget": {"cluster": target.cluster, "name": target.name}, "cluster": cluster, "namespace": namespace},
        separators=(",", ":"),
    )


def located(target: Target, text: object) -> tuple[str, str] | None:
    """(logical cluster, namespace) of a locator of this SyncTarget. None for any other text."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    cluster, namespace = found.get("cluster"), found.get("namespace")
    if not isinstance(cluster, str) or not isinstance(namespace, str) or text != locator(target, cluster, namespace):
        return None
    return cluster, namespace


def downstream_namespace(target: Target, cluster: str, namespace: str) -> str:
    """The namespace below of a namespace of a logical cluster: `kcp-` and 12 characters."""
    return "kcp-" + _base36(locator(target, cluster, namespace), _NAMESPACE_LENGTH)


def is_of_workload(name: str) -> bool:
    """Whether the name of a label or annotation belongs to kcp's workload API."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and (domain == GROUP or domain.endswith("." + GROUP))


def _base36(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha224(text.encode()).digest(), "big")
    digits: list[str] = []
    while number and len(digits) < length:
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(digits).ljust(length, "0")
