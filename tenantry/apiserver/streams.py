"""One watch stream: the initial state or the history, then events from the hub, then a clean end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from tenantry.apiserver.error_responses import failed_view
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.candidates import Candidates
from tenantry.apiserver.verbs.resource_version_parameter import wait_for_version
from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.watch_events import Encoder
from tenantry.apiserver.watcher_groups import WatchChange, Watcher, WatchStart
from tenantry.apiserver.worker_threads import is_light, run_weighed, weigh
from tenantry.base.tasks import raised
from tenantry.base.time_slices import turns
from tenantry.http.messages import Sink
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.status import StatusError, expired
from tenantry.storage.range import TooOld

DEFAULT_TIMEOUT_SECONDS = (1800.0, 3600.0)
"""The range from which the timeout of a watch without timeoutSeconds is chosen at random, so that clients do not reconnect all at
once (kube-apiserver)."""

_CHUNK_BYTES = 64 << 10
"""Initial events are written in chunks of about this size."""
_PIECE = 64
"""Records that are worked on between two checks of the clock."""
_BATCH_WEIGHT = 250
"""The weight of records that are decoded between two checks of the clock."""
_PAUSE_SECONDS = 0.005
_INITIAL_SECONDS = 60.0
"""How long a client may take to read its initial events before its connection is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """The options of a watch. `version` 0 starts from the current state. `initial`: whether that state is sent first."""

    version: int
    initial: bool
    marker: bool
    bookmarks: bool
    timeout_seconds: float


class WatchStream:
    """The `run` function of a watch's `tenantry.http.messages.Stream`."""

    def __init__(self, call: Call, encoder: Encoder, selection: Selection, watch_request: WatchRequest) -> None:
        self._call = call
        self._encoder = encoder
        self._selection = selection
        self._watch_request = watch_request
        self._range = call.scope.range
        self._leave: Callable[[], None] = _nothing

    async def __call__(self, sink: Sink) -> None:
        """Returns when the watch is over. The stream ends cleanly when its timeout is reached, the type is removed, or the server
        drains."""
        watch_request, call = self._watch_request, self._call
        watcher = Watcher(sink, bookmarks=watch_request.bookmarks, needs_columns=self._encoder.has_columns)
        self._leave = stop = _nothing
        try:
            async with asyncio.timeout(watch_request.timeout_seconds) as watcher.alarm:
                if watch_request.initial and watch_request.version:
                    await wait_for_version(self._range, watch_request.version)
                stop = call.scope.watch_apis(lambda: self._apis_changed(watcher))
                await self._begin(watcher)
                watcher.release()
                await sink.closed.wait()
        except TimeoutError:
            pass
        except StatusError as error:
            sink.send(self._encoder.framed(self._encoder.error(error)))
            return
        except Exception as error:  # a view may raise any error; the server answers for others
            if not call.request.view:
                raise
            sink.send(self._encoder.framed(self._encoder.error(failed_view(call.request, error))))
            return
        finally:
            self._leave()
            stop()
            # It refers to the task, whose frames refer to the watcher: a cycle that would keep a closed connection.
            watcher.alarm = None
        if watcher.group is not None and watch_request.bookmarks and watcher.pending is None and not watcher.dropped:
            # client-go lists again after a watch that ended without any event, so every watch gets a bookmark.
            last = watcher.group.bookmark()
            if last is not None:
                sink.send(self._encoder.framed(last))

    async def _begin(self, watcher: Watcher) -> None:
        """Joins a group, and sends what the watch begins with."""
        watch_request, call, selection = self._watch_request, self._call, self._selection
        candidates = Candidates(self._range, selection, call.scope.cluster, call.namespace or None)
        if watch_request.initial or selection.visibility is not None:
            await candidates.prepare()
        # No await from here until the state is read: the group's later events continue exactly this state.
        start = self._start(candidates)
        version = self._range.version
        after = watch_request.version if watch_request.version > version else 0
        converter = call.scope.converter.to(call.definition, call.version)
        first, self._leave = call.scope.hubs.of(self._range).join(
            watcher, self._encoder, selection, call.namespace, call.scope.cluster, after, start, converter
        )
        if first is None and watcher.group is not None:
            try:
                first = await watcher.group.begin(start)
            except TooOld as error:
                raise self._expired(error) from None
        await self._send(watcher, first or ())
        if watch_request.marker and not watcher.dropped:
            watcher.sink.send(self._encoder.framed(self._marker(watcher, version)))

    def _start(self, candidates: Candidates) -> WatchStart:
        """Where the watch begins. Raises StatusError 410."""
        watch_request, version = self._watch_request, self._watch_request.version
        resumes = bool(version) and not watch_request.initial
        if not resumes or version > self._range.version:
            return WatchStart(candidates=candidates, initial=watch_request.initial)
        if version < (since := self._call.scope.shown_since):
            raise self._expired(TooOld(since))
        try:
            events = candidates.events_after(version)
            then = self._selection.at(version)
        except TooOld as error:
            raise self._expired(error) from None
        changed = then if then is not self._selection else None
        return WatchStart(candidates=candidates, initial=False, version=version, events=events, then=changed)

    def _expired(self, error: TooOld) -> StatusError:
        return expired(f"too old resource version: {self._watch_request.version} ({error.oldest})")

    async def _send(self, watcher: Watcher, changes: Iterable[WatchChange | None]) -> None:
        sink, encode = watcher.sink, self._encoder.event
        weighed, tenant = not self._encoder.plain, self._call.scope.cluster or ""
        lines: list[bytes] = []
        size = worked = 0
        piece = _PIECE if not self._selection.in_slices else 1
        for number, change in enumerate(changes):
            if number and number % piece == 0:
                await turns.rest()
                if watcher.dropped or sink.closed.is_set():
                    return
            if change is None:
                continue
            kind, record, version = change
            columns, watcher.needs_columns = watcher.needs_columns, False
            weight = weigh(record.value) if weighed else 0
            if is_light(weight) or not self._encoder.in_threads:
                line = encode(kind, record, version, columns=columns)
            else:
                line = await run_weighed(tenant, weight, partial(encode, kind, record, version, columns=columns))
            lines.append(line)
            worked += weight
            if worked >= _BATCH_WEIGHT:
                worked = 0
                await turns.rest()
                if watcher.dropped or sink.closed.is_set():
                    return
            size += len(line)
            if size >= _CHUNK_BYTES:
                sink.send(self._encoder.framed(b"".join(lines)))
                lines, size = [], 0
                await _let_others_run(watcher)
                if watcher.dropped or sink.closed.is_set():
                    return
        if lines:
            sink.send(self._encoder.framed(b"".join(lines)))

    def _marker(self, watcher: Watcher, version: int) -> bytes:
        line = self._encoder.bookmark(version, end_of_initial_events=True, columns=watcher.needs_columns)
        watcher.needs_columns = False
        return line

    def _apis_changed(self, watcher: Watcher) -> None:
        definition = self._call.definition
        try:
            found = self._call.scope.apis().find(definition.group, self._call.version, definition.plural)
        except Exception:  # a view may raise any error; the client lists again and sees it
            raised("looking for the type of a watch, which is ended")
            found = None
        if found is None or not _is_same(found, definition, self._call.version):
            watcher.finish()


def _is_same(found: tuple[ResourceDefinition, Version], definition: ResourceDefinition, version: str) -> bool:
    """Whether a watch may continue with the definition that it began with. Upstream also ends watches when a schema changes."""
    now, shape = found
    return now is definition or (
        now.uid == definition.uid
        and now.storage_key == definition.storage_key
        and now.conversion is definition.conversion
        and (now.conversion is None or _stored_in(now) == _stored_in(definition))
        and shape.schema is definition.versions[version].schema
    )


def _stored_in(definition: ResourceDefinition) -> tuple[str, str]:
    return definition.storage_version, definition.first_stored_version


async def _let_others_run(watcher: Watcher) -> None:
    """Gives up the turn of the loop if it has lasted long enough, and waits until the client has read enough of what was sent."""
    await turns.rest()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _INITIAL_SECONDS
    sink = watcher.sink
    while sink.buffered_bytes > sink.buffer_limit_bytes // 2 and not sink.closed.is_set():
        if loop.time() > deadline:
            watcher.cut()
            return
        await asyncio.sleep(_PAUSE_SECONDS)


def default_timeout() -> float:
    """The timeout in seconds of a watch that names none."""
    return random.uniform(*DEFAULT_TIMEOUT_SECONDS)


def _nothing() -> None:
    pass
