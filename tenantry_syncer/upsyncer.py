"""The view `/services/upsyncer/<cluster>/<SyncTarget>/clusters/<id or *>`: objects that come from the server below."""

from __future__ import annotations

from tenantry.virtual.interface import Attributes, Object, Place, User
from tenantry_syncer.names import STATE_LABEL_PREFIX, UPSYNC
from tenantry_syncer.target_view import TargetView, refusal

_TOKEN = ("v1", "Secret", "kubernetes.io/service-account-token")


class Upsyncer(TargetView):
    """What a syncer brings from another server. It sees what it brought, and may change and delete it.

    To create objects in a workspace, it needs RBAC there too: verb `create` on the resource, in all namespaces. In kcp, access to
    the SyncTarget is enough to create objects in any workspace.
    """

    name = "upsyncer"
    state = UPSYNC
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete")

    def allows(self, place: Place, question: Attributes) -> bool:
        if not super().allows(place, question):
            return False
        if question.verb != "create" or not question.resource:
            return True
        return self._may_create(place, question.user, question.group, question.resource)

    def store(self, place: Place, user: User, shown: Object, stored: Object | None) -> Object:
        label = STATE_LABEL_PREFIX + self.target(place).key
        metadata = shown["metadata"]
        labels = metadata.get("labels") or {}
        if labels.get(label, UPSYNC) != UPSYNC:
            raise refusal(shown, f"metadata.labels[{label}]", f"metadata.labels[{label}]: Forbidden: must be {UPSYNC}")
        if stored is None and (shown.get("apiVersion"), shown.get("kind"), shown.get("type")) == _TOKEN:
            # The workspace would put a token into it, and the syncer would see it.
            raise refusal(shown, "type", f"type: Forbidden: a syncer creates no Secrets of type {_TOKEN[2]}")
        metadata["labels"] = {**labels, label: UPSYNC}
        return shown

    def _may_create(self, place: Place, user: User, group: str, resource: str) -> bool:
        return place.cluster is not None and self.may(user, "create", place.cluster, group=group, resource=resource)
