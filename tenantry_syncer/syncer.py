"""The view `/services/syncer/<cluster>/<SyncTarget>/clusters/<id or *>`: what is assigned to a SyncTarget."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from tenantry.virtual.interface import Object, Place, Record, User, annotations_of
from tenantry_syncer import picture
from tenantry_syncer.fixture import FIXTURE
from tenantry_syncer.names import CLUSTER_ANNOTATION, SYNC, Target
from tenantry_syncer.sync_target import SYNC_TARGET
from tenantry_syncer.target_view import ALWAYS_SYNCED, TargetView, refusal


class Syncer(TargetView):
    """What a syncer takes to another server: it sees the spec as it is for its SyncTarget, and writes the status."""

    name = "syncer"
    state = SYNC
    always = (*ALWAYS_SYNCED, ("", "namespaces"))
    """With namespaces, those that are assigned, too: clients as kopf do nothing on a server without this type."""
    verbs = ("get", "list", "watch", "update", "patch")
    types = (SYNC_TARGET,)
    fixture = FIXTURE

    def seeing(self, place: Place, user: User) -> Callable[[Record], bool]:
        assigned, target = super().seeing(place, user), self.target(place)
        held = target.held_label
        return lambda record: assigned(record) or (held in record.head.labels and _is_held(record, target))

    def show(self, place: Place, user: User, obj: Object) -> Object:
        cluster = place.cluster or annotations_of(obj).get(CLUSTER_ANNOTATION, "")
        target = self.target(place)
        return picture.shown(obj, target, cluster, accepted=self.accepts(target, cluster))

    def store(self, place: Place, user: User, shown: Object, stored: Object | None) -> Object:
        if stored is None:
            raise refusal(shown, "metadata.name", "a syncer creates no objects")
        try:
            return picture.stored(shown, stored, self.target(place), place.cluster or "")
        except picture.Refused as error:
            raise refusal(shown, error.field, str(error)) from error


def _is_held(record: Record, target: Target) -> bool:
    """Whether an object has the finalizer of the syncer. Tenants can write its label too, and that alone shows nothing to a
    SyncTarget that does not accept them."""
    if target.finalizer.encode() not in record.value:
        return False
    return target.finalizer in (orjson.loads(record.value)["metadata"].get("finalizers") or ())
