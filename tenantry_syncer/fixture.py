"""What `tenantry views check` tries the view of a syncer with."""

from __future__ import annotations

from tenantry.virtual.interface import AUTHENTICATED_GROUP, Fixture, Given, Object, User
from tenantry_syncer.names import GROUP, STATE_LABEL_PREFIX, SYNC, SYNC_TARGETS, VERSION

_RBAC = "rbac.authorization.k8s.io"
_SYNCER = User("syncer", (AUTHENTICATED_GROUP,))
_STRANGER = User("stranger", (AUTHENTICATED_GROUP,))
_TARGET: Object = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "SyncTarget", "metadata": {"name": "edge"}, "spec": {}}
_ROLE: Object = {
    "apiVersion": f"{_RBAC}/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "syncer"},
    "rules": [
        {"apiGroups": [GROUP], "resources": [SYNC_TARGETS], "verbs": ["sync"], "resourceNames": ["edge"]},
        {"nonResourceURLs": ["/"], "verbs": ["access"]},
    ],
}
_BINDING: Object = {
    "apiVersion": f"{_RBAC}/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "syncer"},
    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "syncer"},
    "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": _SYNCER.name}],
}


def _assigned(name: str, value: str) -> Object:
    """A ConfigMap that is assigned to the SyncTarget of its own workspace."""
    metadata = {"name": name, "namespace": "default", "labels": {STATE_LABEL_PREFIX + "edge": value}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


FIXTURE = Fixture(
    given=(
        Given("one", _TARGET),
        Given("one", _ROLE),
        Given("one", _BINDING),
        Given("one", _assigned("first", SYNC)),
        Given("one", _assigned("second", SYNC)),
        Given("one", _assigned("pending", "")),
    ),
    allowed=(_SYNCER,),
    refused=(_STRANGER,),
    arguments=("$(one)", "edge"),
)
