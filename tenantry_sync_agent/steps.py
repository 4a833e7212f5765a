"""The requests of each step of the syncer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from tenantry_sync_agent import metrics
from tenantry_sync_agent.api_client import APPLY, JSON_PATCH, ApiClient, ApiError, Object
from tenantry_sync_agent.decisions import Step
from tenantry_sync_agent.discovery import NAMESPACES, Type
from tenantry_sync_agent.reflector import Place
from tenantry_sync_agent.translation import (
    APPLIED_ANNOTATION,
    MANAGER,
    as_applied,
    created_by_update,
    desired,
    merge_patch,
    namespace_object,
    origin,
)
from tenantry_syncer.names import CONFLICT_PREFIX, Target, downstream_namespace

_NOT_FOUND = 404
_ALREADY_EXISTS = "AlreadyExists"
_INVALID = frozenset({400, 422})
_MESSAGE_MAX = 500
_VOLATILE = frozenset({"managedFields", "resourceVersion", "generation"})

Pair = tuple[Object | None, Object | None]
"""The objects above and below after a step. None for one that does not exist."""


class Blocked(Exception):
    """The object cannot be synced before a user does something. It says so above."""


class Stale(Exception):
    """The copies in memory are behind the servers. The next event makes it good, or another attempt."""


class Steps:
    """Each method sends the requests of a step. `check`: raises NotLeading, and is called before each request that writes."""

    def __init__(self, above: ApiClient, below: ApiClient, target: Target, check: Callable[[], None]) -> None:
        self._above = above
        self._below = below
        self._target = target
        self._check = check
        self._applied: dict[tuple[str, Place], tuple[str, int]] = {}
        """The digest of what was applied, and the hash of what the server made of it. An object is removed with the one below."""

    def is_applied(self, kind: Type, place: Place, up: Object, down: Object) -> bool:
        """Whether `down` is unchanged since an apply of what `up` asks for."""
        known = self._applied.get((kind.name, place))
        return known is not None and known == (_digest(desired(up, self._target)), _fingerprint(down))

    async def take(self, step: Step, kind: Type, url: str, place: Place, up: Object, down: Object | None) -> Pair | None:
        """Takes a step for an object that is above. None: an event shows the outcome."""
        self._check()
        path = f"{url}/clusters/{place.cluster}{kind.path(place.namespace, place.name)}"
        if step is Step.ADD_FINALIZER:
            finalizers = [*(up["metadata"].get("finalizers") or ()), self._target.finalizer]
            return await self._change_above(path, up, finalizers=finalizers), down
        if step is Step.CREATE:
            return await self._create(kind, path, place, up)
        if step is Step.REPORT_CONFLICT:
            await self._report(path, f"{kind.kind} {self._name_below(place)} exists and belongs to others")
            raise Blocked
        if step is Step.CLEAR_CONFLICT:
            return await self._change_above(path, up, annotations={CONFLICT_PREFIX + self._target.key: None}), down
        if step is Step.REMOVE_FINALIZER:
            return await self._release(kind, path, place, up)
        assert down is not None
        if step is Step.APPLY:
            return up, await self._apply(kind, path, place, up, down)
        if step is Step.WRITE_STATUS:
            body = {"metadata": _precondition(up), "status": merge_patch(up.get("status"), down["status"])}
            return await self._above.patch(f"{path}/status", body), down
        assert step is Step.DELETE, step
        await self._delete(kind, place, down)
        return None

    async def delete_orphan(self, kind: Type, place: Place, down: Object, urls: Sequence[str]) -> None:
        """Deletes an object below, if no URL of the view has the one above. Raises Stale if one has it."""
        for url in urls:
            try:
                await self._above.get(f"{url}/clusters/{place.cluster}{kind.path(place.namespace, place.name)}")
            except ApiError as error:
                if error.code != _NOT_FOUND:
                    raise
            else:
                raise Stale
        if not urls:
            raise Stale
        self._check()
        await self._delete(kind, place, down)

    async def _create(self, kind: Type, path: str, place: Place, up: Object) -> Pair:
        wanted = desired(up, self._target)
        await self._ensure_namespace(path, place)
        self._check()
        try:
            made = await self._below.create(self._url_below(kind, place, named=False), wanted, fieldManager=MANAGER)
        except ApiError as error:
            if error.reason == _ALREADY_EXISTS:
                found = await self._below.get(self._url_below(kind, place))
                if origin(found, self._target) is None:
                    metrics.CONFLICTS.inc()
                    if CONFLICT_PREFIX + self._target.key in (up["metadata"].get("annotations") or {}):
                        raise Blocked from error
                return up, found
            if error.code in _INVALID:
                await self._report(path, error.message)
                raise Blocked from error
            raise
        self._remember(kind, place, wanted, made)
        return up, made

    async def _apply(self, kind: Type, path: str, place: Place, up: Object, down: Object) -> Object:
        url = self._url_below(kind, place)
        if created_by_update(down):
            down = await self._below.patch(url, as_applied(down), JSON_PATCH)
            self._check()
        wanted = desired(up, self._target)
        # With a uid, an apply changes this object and never makes another one.
        body = {**wanted, "metadata": {**wanted["metadata"], "uid": down["metadata"]["uid"]}}
        try:
            made = await self._below.patch(url, body, APPLY, fieldManager=MANAGER, force="true")
        except ApiError as error:
            if error.code in _INVALID:
                await self._report(path, error.message)
                raise Blocked from error
            raise
        self._remember(kind, place, wanted, made)
        return made

    async def _release(self, kind: Type, path: str, place: Place, up: Object) -> Pair:
        """Takes the finalizer away, if the server below says that there is no object: the copy may not have it yet."""
        try:
            found = await self._below.get(self._url_below(kind, place))
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
        else:
            if origin(found, self._target) is not None:
                return up, found
            self._check()
        finalizers = [name for name in up["metadata"]["finalizers"] if name != self._target.finalizer]
        return await self._change_above(path, up, finalizers=finalizers), None

    async def _delete(self, kind: Type, place: Place, down: Object) -> None:
        uid = down["metadata"]["uid"]
        try:
            await self._below.delete(self._url_below(kind, place), uid=uid)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
        self._applied.pop((kind.name, place), None)

    async def _ensure_namespace(self, path: str, place: Place) -> None:
        wanted = namespace_object(self._target, place.cluster, place.namespace)
        url = self._below.server + NAMESPACES.path()
        try:
            found = await self._below.get(f"{url}/{wanted['metadata']['name']}")
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            self._check()
            await self._below.create(url, wanted, fieldManager=MANAGER)
            return
        if origin(found, self._target) != place[:2]:
            await self._report(path, f"Namespace {wanted['metadata']['name']} exists and belongs to others")
            raise Blocked

    async def _change_above(self, path: str, up: Object, **metadata: object) -> Object:
        return await self._above.patch(path, {"metadata": {**_precondition(up), **metadata}})

    async def _report(self, path: str, message: str) -> None:
        self._check()
        annotations = {CONFLICT_PREFIX + self._target.key: message[:_MESSAGE_MAX]}
        await self._above.patch(path, {"metadata": {"annotations": annotations}})

    def _remember(self, kind: Type, place: Place, wanted: Object, made: Object) -> None:
        self._applied[kind.name, place] = (_digest(wanted), _fingerprint(made))

    def _name_below(self, place: Place) -> str:
        return f"{downstream_namespace(self._target, place.cluster, place.namespace)}/{place.name}"

    def _url_below(self, kind: Type, place: Place, *, named: bool = True) -> str:
        namespace = downstream_namespace(self._target, place.cluster, place.namespace)
        return self._below.server + kind.path(namespace, place.name if named else "")


def _precondition(obj: Object) -> Object:
    return {"resourceVersion": obj["metadata"]["resourceVersion"], "uid": obj["metadata"]["uid"]}


def _digest(wanted: Object) -> str:
    found: str = wanted["metadata"]["annotations"][APPLIED_ANNOTATION]
    return found


def _fingerprint(down: Object) -> int:
    metadata = {name: value for name, value in down["metadata"].items() if name not in _VOLATILE}
    rest = {name: value for name, value in down.items() if name not in ("metadata", "status")}
    return hash(orjson.dumps([metadata, rest], option=orjson.OPT_SORT_KEYS))
