"""A view that does all as it should, and views that do one thing wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from tenantry.virtual.interface import (
    AUTHENTICATED_GROUP,
    STANDARD_VERBS,
    Attributes,
    ComputedRecord,
    ComputedView,
    Fixture,
    Given,
    Object,
    Place,
    Record,
    ResourceDefinition,
    Sources,
    TooOld,
    User,
    View,
    ViewType,
    ViewUrls,
)
from tests.virtual.machines import GROUP, SPEC, status

ANN = User("ann", (AUTHENTICATED_GROUP,))
BOB = User("bob", (AUTHENTICATED_GROUP,))


def config_map(name: str, **labels: str) -> Object:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": "Ab"}}


class Notes(View):
    """The published ConfigMaps of all workspaces, which ann reads and writes in capitals."""

    name = "notes"
    arguments = ("team",)
    verbs = STANDARD_VERBS
    fixture = Fixture(
        given=(
            Given("one", config_map("a", published="yes", colour="red")),
            Given("one", config_map("b", published="yes", colour="blue")),
            Given("one", config_map("hidden")),
            Given("two", config_map("c", published="no")),
        ),
        writes=({**config_map("d", published="yes"), "data": {"text": "AB"}},),
        allowed=(ANN,),
        refused=(BOB,),
        arguments=("all",),
    )

    def allows(self, place: Place, question: Attributes) -> bool:
        return place.arguments == ("all",) and question.user.name == "ann"

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return [self.definition("", "configmaps")]

    def sees(self, place: Place, user: User, record: Record) -> bool:
        return "published" in record.head.labels

    def show(self, place: Place, user: User, obj: Object) -> Object:
        return {**obj, "data": {key: value.upper() for key, value in (obj.get("data") or {}).items()}}

    def store(self, place: Place, user: User, shown: Object, stored: Object | None) -> Object:
        return {**shown, "data": {key: value.lower() for key, value in (shown.get("data") or {}).items()}}


class Counts(ComputedView):
    """One ConfigMap with the number of ConfigMaps."""

    name = "counts"
    fixture = Fixture(
        given=(Given("one", config_map("a")), Given("one", config_map("b"))),
        later=(Given("one", config_map("later")),),
        allowed=(ANN,),
        refused=(BOB,),
    )

    def allows(self, place: Place, question: Attributes) -> bool:
        return question.user.name == "ann"

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return [self.definition("", "configmaps")]

    def compute(self, place: Place, sources: Sources) -> Iterator[ComputedRecord | None]:
        definition = self.definition("", "configmaps")
        count = len(sources.records(definition.storage_key, place.cluster))
        metadata = {"name": "count", "namespace": "default", "uid": place.cluster or "all", "labels": {"kind": "count"}}
        yield ComputedRecord.of_object(definition, {"metadata": metadata, "data": {"count": str(count)}}, sources.newest)


class NoDiscovery(Notes):
    def allows(self, place: Place, question: Attributes) -> bool:
        return question.is_resource and super().allows(place, question)


class ForEverybody(Notes):
    def allows(self, place: Place, question: Attributes) -> bool:
        return True


class Alternating(Notes):
    """Shows other objects each time."""

    turn = 0

    def seeing(self, place: Place, user: User) -> Callable[[Record], bool]:
        Alternating.turn += 1
        hidden = "ab"[Alternating.turn % 2]
        return lambda record: "published" in record.head.labels and record.key.name != hidden


class OtherLabels(Notes):
    def show(self, place: Place, user: User, obj: Object) -> Object:
        obj["metadata"]["labels"] = {"colour": "green"}
        return obj


class OtherNames(Notes):
    def show(self, place: Place, user: User, obj: Object) -> Object:
        obj["metadata"]["name"] += "-x"
        return obj


class Forgetful(Notes):
    def seeing_at(self, place: Place, user: User, version: int) -> Callable[[Record], bool] | None:
        raise TooOld(version)


class Restless(Notes):
    """Shows other metadata each time."""

    turn = 0

    def show(self, place: Place, user: User, obj: Object) -> Object:
        Restless.turn += 1
        obj["metadata"]["labels"] = {"turn": str(Restless.turn)}
        return obj


class OtherInLists(Notes):
    """Shows watches what it does not show lists."""

    verb = ""

    def allows(self, place: Place, question: Attributes) -> bool:
        type(self).verb = question.verb
        return super().allows(place, question)

    def seeing(self, place: Place, user: User) -> Callable[[Record], bool]:
        watching = self.verb == "watch"
        return lambda record: watching or not record.key.name.endswith("-later")


class WrongPast(Notes):
    def seeing_at(self, place: Place, user: User, version: int) -> Callable[[Record], bool] | None:
        return lambda record: False


class Loses(Notes):
    def store(self, place: Place, user: User, shown: Object, stored: Object | None) -> Object:
        return {**shown, "data": {}}


class Raises(Notes):
    def allows(self, place: Place, question: Attributes) -> bool:
        known: dict[str, Any] = {"all": "ann"}
        return bool(question.user.name == known[place.arguments[0]])


MACHINE: Object = {"apiVersion": f"{GROUP}/v1", "kind": "Machine", "metadata": {"name": "m"}, "spec": {"size": 1}}


class WithTypes(Notes):
    """Notes, and machines that publish URLs."""

    types = (ViewType(spec=SPEC, copied=True, status=status),)
    fixture = replace(Notes.fixture, given=(*Notes.fixture.given, Given("one", MACHINE)))


class FailingStatus(WithTypes):
    fixture = replace(Notes.fixture, given=(Given("one", {**MACHINE, "spec": {"fail": "raise"}}),))


class RestlessStatus(WithTypes):
    """Its status is another one each time."""

    @staticmethod
    def other(obj: Object, urls: ViewUrls, now: datetime) -> tuple[Object, float | None]:
        return {"heartbeat": f"{(obj.get('status') or {}).get('heartbeat', '')}."[:50]}, None

    types = (ViewType(spec=SPEC, status=other),)


class Slow(Notes):
    def show(self, place: Place, user: User, obj: Object) -> Object:
        _busy()
        return super().show(place, user, obj)


class SlowCounts(Counts):
    name = "slowcounts"

    def compute(self, place: Place, sources: Sources) -> Iterator[ComputedRecord | None]:
        _busy()
        yield from super().compute(place, sources)


class OtherApis(Notes):
    """Serves something else each time."""

    turn = 0

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        OtherApis.turn += 1
        return [self.definition("", "configmaps"), *([self.definition("", "secrets")] if OtherApis.turn % 2 else [])]


def _busy() -> None:
    sum(range(400_000))
