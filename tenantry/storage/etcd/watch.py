"""Watches that resume after a failure, without gaps and repetitions.

* A revision is never split: etcd puts it into one response, and the fragments of a large response are joined.
* A watch resumes after the last revision that it delivered. Events that come twice are dropped.
* After a compaction at N, etcd still answers for N. But it may have dropped the deletions of N, and the values before N are gone.
So
  N counts as compacted too: a watch starts one revision earlier than wanted, which etcd refuses exactly in this case.
  (Revision 1 is before the first write. etcd does not refuse it while revision 2 exists, and then nothing is missing.)
* Progress reports are only used from servers that report correctly (`server_version`). On other servers a watch first follows all
  keys. Every revision has an event there, so the history is complete when the revision that was present at the beginning is
  seen. A watch that is asked for progress follows all keys there as long as it lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from functools import partial

import grpc

from tenantry._proto.etcd import kv_pb2
from tenantry._proto.etcd import rpc_pb2 as rpc
from tenantry.base.broadcast import Broadcast
from tenantry.base.tasks import restarting
from tenantry.storage.etcd.call_errors import PERMISSION_TEXT, CallOutcome, NotPermitted, describe, judge, judge_text, refusal
from tenantry.storage.etcd.client import CallRefused, EtcdClient
from tenantry.storage.etcd.member_connection import EtcdStream, Lost
from tenantry.storage.etcd.methods import RANGE, WATCH
from tenantry.storage.etcd.server_version import reports_progress_on_request
from tenantry.storage.etcd.values import CELL_KEY, EVERYTHING, bounds, event
from tenantry.storage.store import Batch, Compacted, Unavailable

FIRST_PROGRESS_SECONDS = 0.01
# etcd sends events to watches that are behind every 100 ms, so more frequent requests would be useless.
CATCHING_UP_PROGRESS_SECONDS = 0.1


async def watch(
    connection: EtcdClient,
    start: bytes,
    end: bytes,
    from_revision: int,
    asked: Broadcast[[]] | None = None,
    previous: bool = True,
) -> AsyncGenerator[Batch, None]:
    """The implementation of `Store.watch`."""
    until = await present_revision(connection)
    watcher = EtcdWatch(connection, start, end, from_revision, until, asked, previous)
    try:
        if from_revision > until:
            await watcher.begun()
            yield Batch(until, [])
        while True:
            for batch in await watcher.next():
                yield batch
    finally:
        await watcher.close()


async def present_revision(connection: EtcdClient) -> int:
    """The present revision of the store. Raises Unavailable."""
    try:
        return (await connection.call(RANGE, rpc.RangeRequest(key=CELL_KEY, count_only=True))).header.revision
    except CallRefused as refused:
        raise refusal(refused.error) from None


async def oldest_revision(connection: EtcdClient) -> int:
    """The oldest revision that can be read, 1 if nothing was compacted. Raises Unavailable."""
    watcher = EtcdWatch(connection, CELL_KEY, CELL_KEY + b"\0", 1, 1)
    try:
        async with asyncio.timeout(connection.config.deadline_seconds):
            # Either etcd sends the put of this key, or it reports the revision of its compaction.
            await watcher.next()
    except Compacted as compacted:
        return compacted.revision
    except TimeoutError:
        raise Unavailable("etcd did not report the revision of its compaction in time") from None
    finally:
        await watcher.close()
    return 1


class EtcdWatch:
    """One watch. `wanted`: the first revision that was not delivered yet. `until`: the present revision at the beginning.
    `asked`, `previous`: see `Store.watch`."""

    def __init__(
        self,
        connection: EtcdClient,
        start: bytes,
        end: bytes,
        wanted: int,
        until: int,
        asked: Broadcast[[]] | None = None,
        previous: bool = True,
    ) -> None:
        self._asked = asked
        self._previous = previous
        self._connection = connection
        self._start = start
        self._end = end
        self._wanted = wanted
        self._catching_up_until: int | None = until if wanted <= until else None
        # Whether etcd cannot have compacted `wanted`. Then the watch does not have to start one revision earlier.
        self._present = wanted > until
        self._everything = False
        self._stream: EtcdStream | None = None
        self._asking: asyncio.Task[None] | None = None
        self._pieces: list[kv_pb2.Event] = []
        self._backoff = connection.backoff()
        self._lost_at: float | None = None
        self._denied = False

    async def next(self) -> list[Batch]:
        """Waits for the next batches and returns them in order, at least one. Raises Compacted, Unavailable."""
        while True:
            response = await self._response()
            if response.canceled:
                await self._canceled(response)
            elif response.created:
                continue
            elif response.fragment:
                self._pieces.extend(response.events)
            elif response.events or self._pieces:
                pieces, self._pieces = self._pieces, []
                batches = self._batches([*pieces, *response.events])
                if self._everything:
                    batches += await self._seen_everything(batches[-1].revision if batches else 0)
                if batches:
                    return batches
            elif batches := self._progress(response.header.revision):
                return batches

    async def begun(self) -> None:
        """Returns when etcd has created the watch. From then on a compaction cannot remove events that were not delivered."""
        while not (response := await self._response()).created or response.canceled:
            if response.canceled:
                await self._canceled(response)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
            self._asking = None
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def _batches(self, events: Iterable[kv_pb2.Event]) -> list[Batch]:
        batches: list[Batch] = []
        first = last = self._wanted
        for found in events:
            revision = found.kv.mod_revision
            if revision < first:
                continue
            last = revision + 1
            if not self._start <= found.kv.key < self._end:
                continue
            if self._previous and not found.HasField("prev_kv") and (found.type == kv_pb2.Event.DELETE or found.kv.version > 1):
                # The previous value was compacted between the event and our read.
                raise Compacted(revision + 1)
            if not batches or batches[-1].revision != revision:
                batches.append(Batch(revision, []))
            batches[-1].events.append(event(found))
        self._wanted = last
        return batches

    def _progress(self, revision: int) -> list[Batch]:
        until = self._catching_up_until
        if until is not None and (self._everything or revision < until):
            return []
        self._catching_up_until = None
        self._wanted = max(self._wanted, revision + 1)
        return [Batch(revision, [])]

    async def _seen_everything(self, shown: int) -> list[Batch]:
        """Stops following all keys when the history is complete, unless progress may be asked for. Returns the progress report,
        or nothing. `shown`: the last revision that its events show."""
        until = self._catching_up_until
        if until is not None and self._wanted <= until:
            return []
        self._catching_up_until = None
        if self._asked is not None:
            return [Batch(self._wanted - 1, [])] if shown < self._wanted - 1 else []
        if until is None:
            return []
        self._present = True
        await self.close()
        await self.begun()
        return [Batch(self._wanted - 1, [])]

    async def _response(self) -> rpc.WatchResponse:
        while True:
            stream: EtcdStream | None = None
            try:
                stream = self._stream or await self._open()
                response: rpc.WatchResponse = await stream.read()
            except grpc.aio.AioRpcError as error:
                verdict, why = judge(error), describe(error)
            except Lost as error:
                verdict, why = CallOutcome.ELSEWHERE, str(error)
            except Unavailable as error:
                await self._pause(str(error), error)
                continue
            else:
                if not response.canceled:
                    self._denied = False
                    if self._lost_at is not None:
                        self._lost_at = None
                        self._backoff = self._connection.backoff()
                return response
            await self._failed(stream or self._stream, verdict, why)

    async def _failed(self, stream: EtcdStream | None, verdict: CallOutcome, why: str) -> None:
        """Prepares to open the watch again. Raises Unavailable if a retry would not help."""
        await self.close()
        self._pieces = []
        self._present = False
        if verdict is CallOutcome.FINAL:
            raise Unavailable(f"etcd refused a watch: {why}")
        if stream is not None and verdict is CallOutcome.RENEW:
            await self._connection.renew(stream.link, stream.token)
        elif stream is not None and verdict is not CallOutcome.BUSY:
            self._connection.leave(stream.link, why)
        await self._pause(why, None)

    async def _pause(self, why: str, cause: Unavailable | None) -> None:
        now = asyncio.get_running_loop().time()
        self._lost_at = self._lost_at or now
        if self._connection.closed or now - self._lost_at >= self._connection.config.reconnect_seconds:
            raise cause or Unavailable(f"a watch of etcd was lost: {why}")
        await self._backoff.pause()

    async def _canceled(self, response: rpc.WatchResponse) -> None:
        if response.compact_revision:
            raise Compacted(response.compact_revision + 1)
        reason = response.cancel_reason
        verdict = judge_text(reason) or CallOutcome.ELSEWHERE
        if PERMISSION_TEXT in reason:
            # Some versions give the same reason for a token that they do not know any more.
            if self._denied or not self._connection.config.user:
                raise NotPermitted(reason)
            self._denied, verdict = True, CallOutcome.RENEW
        await self._failed(self._stream, verdict, reason)

    async def _open(self) -> EtcdStream:
        stream = self._stream = await self._connection.stream(WATCH)
        reports = reports_progress_on_request(stream.link.version)
        self._everything = not reports and (self._catching_up_until is not None or self._asked is not None)
        key, end = EVERYTHING if self._everything else bounds(self._start, self._end) or (CELL_KEY, b"")
        create = rpc.WatchCreateRequest(
            key=key,
            range_end=end,
            start_revision=self._wanted if self._present else max(1, self._wanted - 1),
            progress_notify=True,
            prev_kv=self._previous,
            fragment=True,
        )
        await stream.write(rpc.WatchRequest(create_request=create))
        if reports:
            self._asking = restarting(partial(self._ask, stream), name="etcd-watch-progress", ends=True)
        return stream

    async def _ask(self, stream: EtcdStream) -> None:
        """Requests progress: often until the watch has caught up, then every `progress_seconds`, and when it is asked for."""
        request = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())
        seconds = FIRST_PROGRESS_SECONDS
        wanted = asyncio.Event()
        stop = self._asked.subscribe(wanted.set) if self._asked is not None else None
        try:
            # When the stream fails, the reader gets the error.
            with contextlib.suppress(Lost, grpc.aio.AioRpcError):
                while True:
                    catching_up = self._catching_up_until is not None
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(seconds if catching_up else self._connection.config.progress_seconds):
                            await wanted.wait()
                    wanted.clear()
                    await stream.write(request)
                    seconds = min(2 * seconds, CATCHING_UP_PROGRESS_SECONDS)
        finally:
            if stop is not None:
                stop()
