"""The view `/services/syncer/<cluster>/<SyncTarget>/clusters/<id or *>`: what is assigned to a SyncTarget."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.virtual.interface import Object, Place, Record, User, annotations_of
from tenantry_syncer import picture
from tenantry_syncer.fixture import FIXTURE
from tenantry_syncer.names import CLUSTER_ANNOTATION, SYNC
from tenantry_syncer.sync_target import SYNC_TARGET
from tenantry_syncer.target_view import TargetView, refusal


class Syncer(TargetView):
    """What a syncer takes to another server: it sees the spec as it is for its SyncTarget, and writes the status."""

    name = "syncer"
    state = SYNC
    verbs = ("get", "list", "watch", "update", "patch")
    types = (SYNC_TARGET,)
    fixture = FIXTURE

    def seeing(self, place: Place, user: User) -> Callable[[Record], bool]:
        assigned, held = super().seeing(place, user), self.target(place).held_label
        return lambda record: assigned(record) or held in record.head.labels

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
