"""The scope of a place in a view: what the verbs work on, answered by the methods of the view."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tenantry.apiserver.admission.chain import PrecededAdmission
from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.admission.review import Admission
from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Authorizer, Decision
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.scope import Connector, Translating
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Changed, Visibility
from tenantry.base.tasks import call
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError, bad_request
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.virtual.admission.logical_cluster_status import LogicalClusterStatusAdmission
from tenantry.virtual.method_times import is_request_sampled, is_shown_sampled, method_times
from tenantry.virtual.restricted_definitions import NO_SUBRESOURCES, restricted
from tenantry.virtual.view import Place, View

IMPERSONATE = "impersonate"
_WRITING = frozenset({"create", "patch", "update"})
_OVER_CLUSTERS = frozenset({"list", "watch"})
_LOGICAL_CLUSTER_STATUS = LogicalClusterStatusAdmission()


class ViewScope:
    """One place in a view. Made for each request. It is its own authorizer, because a decision needs the view and the place."""

    def __init__(self, view: View, place: Place, base: ClusterScope) -> None:
        self.view = view
        self.place = place
        self.base = base
        self._timed = is_request_sampled()

    @property
    def cluster(self) -> str | None:
        return self.place.cluster

    @property
    def cell(self) -> Cell:
        return self.base.cell

    @property
    def range(self) -> Range:
        return self.base.range

    @property
    def hubs(self) -> Hubs:
        return self.base.hubs

    @property
    def converter(self) -> Converter:
        return self.base.converter

    @property
    def authorizer(self) -> Authorizer:
        return self

    @property
    def admission(self) -> WholeAdmission:
        """`view_admission`, and after it the admission of the logical cluster."""
        return PrecededAdmission(self.view_admission, self.base.admission)

    @property
    def view_admission(self) -> Sequence[Admission]:
        return (_LOGICAL_CLUSTER_STATUS,)

    def authorize(self, attributes: Attributes) -> Decision:
        """The decision of the view. Raises StatusError 400 for a request that no view serves."""
        decision = self.decide(attributes) if attributes.verb != IMPERSONATE else self.may_impersonate(attributes)
        if decision.allowed:
            self._refuse_unserved(attributes)
        return decision

    def decide(self, attributes: Attributes) -> Decision:
        if attributes.user.is_master or (not attributes.is_resource and attributes.path in HEALTH_PATHS):
            return ALLOWED
        if self._timed:
            allowed = method_times.measured(self.view.name, "allows", partial(self.view.allows, self.place, attributes))
        else:
            allowed = self.view.allows(self.place, attributes)
        return ALLOWED if allowed else NO_OPINION

    def may_impersonate(self, attributes: Attributes) -> Decision:
        """Access to a view does not include impersonation: RBAC of the viewed cluster decides about that."""
        if attributes.user.is_master:
            return ALLOWED
        if self.place.cluster is None:
            return NO_OPINION
        return self.base.authorizer.authorize(attributes)

    def apis(self) -> ApiSet:
        verbs = self.view.verbs
        subresources = dict.fromkeys(self.view.subresources, verbs) if _WRITING.intersection(verbs) else NO_SUBRESOURCES
        served: Iterable[ResourceDefinition]
        if self._timed:
            served = method_times.measured(self.view.name, "apis", lambda: list(self.view.apis(self.place)))
        else:
            served = self.view.apis(self.place)
        return self.view.api_set(restricted(definition, verbs, subresources) for definition in served)

    def listed(self, apis: ApiSet) -> ApiSet:
        return self.base.listed(apis)

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        return _guarded(self.view, self.view.watch_apis(self.place, changed))

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        if type(self.view).sees is View.sees and type(self.view).seeing is View.seeing:
            return None
        if self._timed and verb != "watch":
            return ViewVisibility(self.view, self.place, user, _timed(self.view, self.place, user))
        return ViewVisibility(self.view, self.place, user)

    @property
    def shown_since(self) -> int:
        return 0

    def acting_user(self, user: User) -> User:
        return user

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        if type(self.view).show is View.show:
            return None
        return Shown(self.view, self.place, user)

    @property
    def translation(self) -> Translating | None:
        return self._translation if type(self.view).store is not View.store else None

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        return self.base.catalog(definition, key, obj)

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        """The connector of the cluster, for a subresource that the view names. Access reviews are not served: they would reveal
        permissions in the cluster. A view that needs them has a scope of its own."""
        return self.base.connector(definition, subresource) if subresource in self.view.subresources else None

    def _translation(self, definition: ResourceDefinition, user: User) -> Translated:
        return Translated(self.view, self.place, user)

    def _refuse_unserved(self, attributes: Attributes) -> None:
        """Other verbs are refused where they are served, with a text of their own."""
        if self.place.cluster is None and attributes.namespace and attributes.is_resource and attributes.verb in _OVER_CLUSTERS:
            raise bad_request("cross-cluster LIST and WATCH are required to be cross-namespace")


@dataclass(frozen=True, slots=True)
class Shown:
    """Calls `View.show`. Equal values show the same."""

    view: View
    place: Place
    user: User

    def __call__(self, obj: Object) -> Object:
        if is_shown_sampled():
            return method_times.measured(self.view.name, "show", partial(self.view.show, self.place, self.user, obj))
        return self.view.show(self.place, self.user, obj)


@dataclass(frozen=True, slots=True)
class Translated:
    """Calls `View.show` and `View.store`."""

    view: View
    place: Place
    user: User

    @property
    def definition(self) -> ResourceDefinition | None:
        return None

    @property
    def in_threads(self) -> bool:
        return False

    def check(self, sent: Object, /) -> None:
        pass

    def shown(self, obj: Object, /) -> Object:
        return self.view.show(self.place, self.user, obj)

    def stored(self, shown: Object, old: Object | None, /) -> Object:
        return self.view.store(self.place, self.user, shown, old)

    def managers_shown(self, entries: list[Object] | None, /) -> list[Object] | None:
        return entries

    def managers_stored(self, entries: list[Object] | None, old: list[Object] | None, /) -> list[Object] | None:
        return entries

    def refusal(self, error: StatusError, /) -> StatusError:
        return error

    def warnings(self, texts: list[str], /) -> list[str]:
        return texts


class ViewVisibility:
    """The visibility that asks the view about each record. `sees`: as at an earlier version; by default as it is at the time, and
    then the watchers of one user share it."""

    adds = True
    in_slices = False

    def __init__(self, view: View, place: Place, user: User, sees: Callable[[Record], bool] | None = None) -> None:
        self._view = view
        self._place = place
        self._user = user
        self.key: Hashable | None = (ViewVisibility, view, place, user) if sees is None else None
        self.sees = sees if sees is not None else view.seeing(place, user)

    def at(self, version: int) -> Visibility:
        then = self._view.seeing_at(self._place, self._user, version)
        return self if then is None else ViewVisibility(self._view, self._place, self._user, then)

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        return _guarded(self._view, self._view.watch_sees(self._place, self._user, changed))


def _timed(view: View, place: Place, user: User) -> Callable[[Record], bool]:
    """What `View.seeing` returns, with the time of each call measured."""
    sees = method_times.measured(view.name, "seeing", partial(view.seeing, place, user))
    return lambda record: method_times.measured(view.name, "sees", partial(sees, record))


def _guarded(view: View, stop: Callable[[], None]) -> Callable[[], None]:
    """A function of a view that ends a subscription. Its errors must not keep what else a watch has to end."""

    def guarded() -> None:
        call(stop, f"the end of a subscription to the view {view.name}")

    return guarded


class Filter:
    """A visibility that depends on the record alone. `key`: that of `sees`; filters with equal keys see the same."""

    in_slices = False

    def __init__(self, sees: Callable[[Record], bool], key: Hashable, *, adds: bool = True) -> None:
        self._sees = sees
        self._key = key
        self.adds = adds

    @property
    def key(self) -> Hashable | None:
        return Filter, self._key, self.adds

    def sees(self, record: Record) -> bool:
        return self._sees(record)

    def at(self, version: int) -> Visibility:
        return self

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None
