"""One watch from its first event to its last: initial state or history, then whatever the hub sends, then a clean end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tenantry.apiserver.hub import Change, SeenGroup, Watcher, WatcherGroup, hub_of
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.selection import Selection
from tenantry.apiserver.verbs.versions import reached
from tenantry.apiserver.watch_events import ADDED, Encoder, error_event
from tenantry.apiserver.work import turns
from tenantry.http.messages import Sink, frame
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.status import StatusError, expired
from tenantry.storage.range import TooOld
from tenantry.storage.record import Record, RecordEvent

DEFAULT_TIMEOUT_SECONDS = (1800.0, 3600.0)
"""How long a watch lasts that says nothing: some time in between, so that clients do not return all at once (kube-apiserver)."""

_CHUNK_BYTES = 64 << 10
"""Initial events are written in chunks of about this size."""
_PIECE = 64
"""Records between two looks at the clock."""
_PAUSE_SECONDS = 0.005
_INITIAL_SECONDS = 60.0
"""How long a client may take to read its initial events before it is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What a watch asked for. `version` 0: from the state of now. `initial`: whether that state is sent first."""

    version: int
    initial: bool
    marker: bool
    bookmarks: bool
    timeout_seconds: float


class WatchStream:
    """The `run` of a watch's `Stream`."""

    def __init__(self, call: Call, encoder: Encoder, selection: Selection, watch_request: WatchRequest) -> None:
        self._call = call
        self._encoder = encoder
        self._selection = selection
        self._watch_request = watch_request
        self._range = call.scope.range

    async def __call__(self, sink: Sink) -> None:
        """Returns when the watch is over. It ends in good order when its time is up, the type is gone, or the server drains."""
        watch_request, call = self._watch_request, self._call
        watcher = Watcher(sink, bookmarks=watch_request.bookmarks, needs_columns=self._encoder.has_columns)
        group: WatcherGroup | None = None
        leave = stop = _nothing
        try:
            async with asyncio.timeout(watch_request.timeout_seconds) as watcher.alarm:
                if watch_request.initial and watch_request.version:
                    await reached(self._range, watch_request.version)
                stop = call.scope.watch_apis(lambda: self._apis_changed(watcher))
                after = watch_request.version if watch_request.version > self._range.version else 0
                group, leave = hub_of(self._range).join(
                    watcher, self._encoder, self._selection, call.namespace, call.scope.cluster, after
                )
                # From here to the first await nothing can happen in between: the group's events follow on what is sent first.
                version = self._range.version
                await self._send(watcher, await self._first(group, *self._begin(group)))
                if watch_request.marker and not watcher.dropped:
                    sink.send(frame(self._marker(watcher, version)))
                watcher.release()
                await sink.closed.wait()
        except TimeoutError:
            pass
        except StatusError as error:
            sink.send(frame(error_event(error)))
            return
        finally:
            leave()
            stop()
        if group is not None and watch_request.bookmarks and watcher.held is None and not watcher.dropped:
            # client-go lists again after a watch that ended without any event, so every watch gets one.
            last = group.bookmark()
            if last is not None:
                sink.send(frame(last))

    def _begin(self, group: WatcherGroup) -> tuple[Sequence[Record], Sequence[RecordEvent] | None, Selection | None]:
        """The records that were there when what is sent begins, as far as they are needed, and the history since, None where the
        watch begins with the state of now. To be looked through in slices. The selection is that of then, None where it is the
        same as now. Raises StatusError 410."""
        watch_request, range_, call = self._watch_request, self._range, self._call
        place = (call.definition.storage_key, call.scope.cluster, call.namespace or None)
        resumes = bool(watch_request.version) and not watch_request.initial
        if not resumes or watch_request.version > range_.version:
            return list(range_.list(*place)), None, None
        try:
            events = range_.events_after(watch_request.version, call.definition.storage_key, call.scope.cluster)
            if not isinstance(group, SeenGroup):
                return (), events, None
            then = self._selection.at(watch_request.version)
            return list(range_.list_at(watch_request.version, *place)), events, None if then is self._selection else then
        except TooOld as error:
            raise expired(f"too old resource version: {watch_request.version} ({error.oldest})") from None

    async def _first(
        self, group: WatcherGroup, records: Sequence[Record], events: Sequence[RecordEvent] | None, then: Selection | None
    ) -> Iterable[Change | None]:
        """What to send before anything new, with None for what is not shown."""
        if isinstance(group, SeenGroup):
            changes = await group.begin(records, events, then)
            return changes if events is not None or self._watch_request.initial else ()
        if events is not None:
            return map(group.change, events)
        return self._added(records) if self._watch_request.initial else ()

    def _added(self, records: Sequence[Record]) -> Iterator[Change | None]:
        match = self._selection.matcher()
        for record in records:
            yield (ADDED, record, record.version) if match is None or match(record) else None

    async def _send(self, watcher: Watcher, changes: Iterable[Change | None]) -> None:
        sink, encode = watcher.sink, self._encoder.event
        lines: list[bytes] = []
        size = 0
        for number, change in enumerate(changes):
            if number and number % _PIECE == 0:
                await turns.rest()
                if watcher.dropped or sink.closed.is_set():
                    return
            if change is None:
                continue
            kind, record, version = change
            line = encode(kind, record, version, columns=watcher.needs_columns)
            watcher.needs_columns = False
            lines.append(line)
            size += len(line)
            if size >= _CHUNK_BYTES:
                sink.send(frame(b"".join(lines)))
                lines, size = [], 0
                await _let_others_run(watcher)
                if watcher.dropped or sink.closed.is_set():
                    return
        if lines:
            sink.send(frame(b"".join(lines)))

    def _marker(self, watcher: Watcher, version: int) -> bytes:
        line = self._encoder.bookmark(version, end_of_initial_events=True, columns=watcher.needs_columns)
        watcher.needs_columns = False
        return line

    def _apis_changed(self, watcher: Watcher) -> None:
        definition = self._call.definition
        found = self._call.scope.apis().find(definition.group, self._call.version, definition.plural)
        if found is None or not _is_same(found, definition, self._call.version):
            watcher.finish()


def _is_same(found: tuple[ResourceDefinition, Version], definition: ResourceDefinition, version: str) -> bool:
    """Whether a watch may go on with the definition that it began with: upstream too ends watches when a schema changes."""
    now, shape = found
    return now is definition or (
        now.uid == definition.uid
        and now.storage_key == definition.storage_key
        and shape.schema is definition.versions[version].schema
    )


async def _let_others_run(watcher: Watcher) -> None:
    """A turn of the loop if it is time, and as many as the client needs to read what was sent already."""
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
    """Seconds that a watch lasts which names no timeout."""
    return random.uniform(*DEFAULT_TIMEOUT_SECONDS)


def _nothing() -> None:
    pass
