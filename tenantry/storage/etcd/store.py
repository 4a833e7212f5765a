"""The etcd engine: every method of the contract is one or two calls of etcd's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from tenantry._proto.etcd import rpc_pb2 as rpc
from tenantry.base.broadcast import Broadcast
from tenantry.storage.commit_checks import check_commit
from tenantry.storage.etcd import leases
from tenantry.storage.etcd.call_errors import COMPACTED_TEXT, FULL_TEXT, FUTURE_TEXT, LEASE_GONE_TEXT, TOO_LARGE_TEXT, refusal
from tenantry.storage.etcd.client import LASTING, CallRefused, EtcdClient
from tenantry.storage.etcd.config import EtcdConfig
from tenantry.storage.etcd.methods import COMPACT, RANGE, TXN
from tenantry.storage.etcd.values import CELL_KEY, bounds, decode_value, encode_value, key_value
from tenantry.storage.etcd.watch import oldest_revision, present_revision, watch
from tenantry.storage.keys import fence_name
from tenantry.storage.store import (
    Batch,
    Compacted,
    Compare,
    CompareFailed,
    Damaged,
    Delete,
    Indeterminate,
    KeyValue,
    LeaseGone,
    Page,
    Put,
    StoreError,
    Unavailable,
)

# etcd counts the rest of the interval for every answer, so with small answers the cost is quadratic.
ANSWER_KEYS = 10_000


class CellValue(msgspec.Struct, frozen=True):
    """The value of `CELL_KEY`, which describes the store. `format`: the version of the encoding of values (`values`)."""

    cell: int
    format: int = 1


class EtcdStore:
    """A store on etcd. Create it with `open`. Any number of them may use one etcd. Nothing else should use that etcd: other keys
    cost revisions."""

    def __init__(self, connection: EtcdClient, cell: int) -> None:
        self._connection = connection
        self._cell = cell

    @classmethod
    async def open(cls, config: EtcdConfig, *, cell: int = 1) -> EtcdStore:
        """Connects to etcd. `cell`: the number of a new store, from 0 to 127; an existing store keeps its own.

        Raises UnsupportedVersion, Unavailable, Damaged (the number of the store is not readable), ValueError.
        """
        if not 0 <= cell < 128:
            raise ValueError(f"a cell's number is from 0 to 127, not {cell}")
        connection = EtcdClient(config)
        loop = asyncio.get_running_loop()
        until = loop.time() + config.opening_seconds
        backoff = connection.backoff()
        try:
            while True:
                try:
                    return cls(connection, await _cell(connection, cell))
                except Unavailable as error:
                    if isinstance(error, LASTING) or loop.time() >= until:
                        raise
                    await backoff.pause()
        except BaseException:
            await connection.close()
            raise

    @property
    def cell(self) -> int:
        return self._cell

    async def read(self, start: bytes, end: bytes, *, revision: int | None = None, limit: int | None = None) -> Page:
        inside = bounds(start, end)
        if inside is None or limit == 0:
            # etcd is asked even so, because the revision may be compacted or in the future.
            page = await self._read(CELL_KEY, CELL_KEY + b"\0", revision, 1)
            return Page([], page.revision, False)
        kvs: list[KeyValue] = []
        keys = ANSWER_KEYS
        first, last = inside
        while True:
            wanted = keys if limit is None else min(keys, limit - len(kvs))
            try:
                page = await self._read(first, last, revision, wanted)
            except CallRefused as refused:
                if wanted == 1:
                    raise Unavailable(f"a value in etcd is too large to be read: {refused}") from None
                keys = wanted // 2
                continue
            kvs += page.kvs
            revision = page.revision
            if not page.more or (limit is not None and len(kvs) >= limit):
                return Page(kvs, page.revision, page.more)
            first = page.kvs[-1].key + b"\0"

    async def _read(self, start: bytes, end: bytes, revision: int | None, limit: int) -> Page:
        """Reads one answer of etcd. Raises CallRefused (the answer is too large), and the errors of `read`."""
        wanted = rpc.RangeRequest(key=start, range_end=end, revision=revision or 0, limit=limit)
        try:
            if revision is None:
                answer = await self._connection.call(RANGE, wanted)
                return Page([key_value(kv) for kv in answer.kvs], answer.header.revision, answer.more)
            operations = [rpc.RequestOp(request_range=wanted)]
            if revision > 1:
                # After a compaction at N, etcd still reads N, but the contract refuses it (see `watch`). So N-1 is read too.
                before = rpc.RangeRequest(key=CELL_KEY, revision=revision - 1, count_only=True)
                operations.append(rpc.RequestOp(request_range=before))
            answer = (await self._connection.call(TXN, rpc.TxnRequest(success=operations))).responses[0].response_range
            return Page([key_value(kv) for kv in answer.kvs], revision, answer.more)
        except CallRefused as refused:
            text = str(refused)
            if FUTURE_TEXT in text:
                raise ValueError(f"revision {revision} is in the future") from None
            if COMPACTED_TEXT in text:
                raise Compacted(await oldest_revision(self._connection)) from None
            if TOO_LARGE_TEXT in text:
                raise
            raise refusal(refused.error) from None

    async def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        check_commit(puts, deletes)
        if not compares and not puts and not deletes:
            return await present_revision(self._connection)
        request = rpc.TxnRequest()
        for compare in compares:
            modified = compare.mod_revision
            request.compare.add(key=compare.key, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=modified)
            request.failure.add().request_range.key = compare.key
        for put in puts:
            wanted = request.success.add().request_put
            wanted.key, wanted.value, wanted.lease = put.key, encode_value(put.value, put.index), put.lease
        for delete in deletes:
            if not delete.end:
                request.success.add().request_delete_range.key = delete.key
            elif inside := bounds(delete.key, delete.end):
                interval = request.success.add().request_delete_range
                interval.key, interval.range_end = inside
        try:
            answer = await self._connection.call(TXN, request, changes=True)
        except CallRefused as refused:
            if LEASE_GONE_TEXT in str(refused):
                raise LeaseGone(await self._gone(puts)) from None
            if FULL_TEXT in str(refused) and not await self._untouched(compares, puts):
                raise Indeterminate(f"etcd is full; the commit may or may not have happened: {refused}") from None
            raise refusal(refused.error) from None
        if not answer.succeeded:
            raise _compare_failed(compares, answer)
        return answer.header.revision

    def watch(
        self, start: bytes, end: bytes, *, from_revision: int, asked: Broadcast[[]] | None = None, previous: bool = True
    ) -> AsyncGenerator[Batch, None]:
        return watch(self._connection, start, end, from_revision, asked, previous)

    async def grant_lease(self, ttl_seconds: float) -> int:
        return await leases.grant(self._connection, ttl_seconds)

    async def keep_alive(self, lease: int) -> float:
        return await leases.keep_alive(self._connection, lease)

    async def revoke_lease(self, lease: int) -> None:
        await leases.revoke(self._connection, lease)

    async def compact(self, revision: int) -> None:
        if revision > await present_revision(self._connection):
            raise ValueError(f"revision {revision} is in the future")
        if revision <= 1:
            return
        try:
            # One less than requested, so that the revision itself stays complete (see `watch`).
            await self._connection.call(COMPACT, rpc.CompactionRequest(revision=revision - 1))
        except CallRefused as refused:
            if COMPACTED_TEXT not in str(refused):
                raise refusal(refused.error) from None

    async def close(self) -> None:
        await self._connection.close()

    async def _untouched(self, compares: Sequence[Compare], puts: Sequence[Put]) -> bool:
        """Whether a commit that etcd refused for lack of space certainly had no effect: a key that it compares and puts is
        unchanged.

        The commit that fills etcd succeeds, but gets the same answer as later ones, which fail (etcd's `quotaApplierV3`).
        """
        written = {put.key for put in puts}
        for compare in compares:
            if compare.key in written:
                try:
                    page = await self.read(compare.key, compare.key + b"\0")
                except StoreError:
                    return False
                return (page.kvs[0].mod_revision if page.kvs else 0) == compare.mod_revision
        return False

    async def _gone(self, puts: Sequence[Put]) -> int:
        """The lease of a refused commit that does not exist."""
        found = list(dict.fromkeys(put.lease for put in puts if put.lease))
        for lease in found[:-1]:
            try:
                await leases.seconds_left(self._connection, lease)
            except LeaseGone:
                return lease
        return found[-1]


async def _cell(connection: EtcdClient, cell: int) -> int:
    """Reads the number of the store. Writes `cell` if it has none."""
    value = encode_value(msgspec.json.encode(CellValue(cell)), 0)
    request = rpc.TxnRequest(
        compare=[rpc.Compare(key=CELL_KEY, target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, create_revision=0)],
        success=[rpc.RequestOp(request_put=rpc.PutRequest(key=CELL_KEY, value=value))],
        failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=CELL_KEY))],
    )
    try:
        # It may be sent twice: the second time it changes nothing.
        answer = await connection.call(TXN, request)
    except CallRefused as refused:
        raise refusal(refused.error) from None
    if answer.succeeded:
        return cell
    stored, _ = decode_value(CELL_KEY, answer.responses[0].response_range.kvs[0].value)
    try:
        found = msgspec.json.decode(stored, type=CellValue)
    except msgspec.DecodeError as error:
        raise Damaged(f"the value of {CELL_KEY!r} in etcd does not describe a cell: {error}") from None
    if found.format != 1:
        raise Unavailable(f"the store in etcd has format {found.format}, which this version of tenantry does not know")
    return found.cell


def _compare_failed(compares: Sequence[Compare], answer: rpc.TxnResponse) -> CompareFailed:
    """The error for the first compare that did not match."""
    for compare, operation in zip(compares, answer.responses, strict=True):
        kvs = operation.response_range.kvs
        if (kvs[0].mod_revision if kvs else 0) != compare.mod_revision:
            return CompareFailed(fence_name(compare.key), key_value(kvs[0]).value if kvs else None)
    raise Damaged("etcd refused a commit although all its compares match")
