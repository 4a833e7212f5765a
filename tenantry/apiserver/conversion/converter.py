"""Converts objects by the webhook of their type, and keeps what it has made of stored ones.

records ──► known? ──► is it being converted? ──► the rest in batches ──► one review each ──► checked, pruned, kept
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tenantry.apiserver import records
from tenantry.apiserver.admission.webhooks.caller import WebhookCaller
from tenantry.apiserver.conversion.errors import LISTED_MAX, NotDecodable, not_listed
from tenantry.apiserver.conversion.metrics import ConversionMetrics
from tenantry.apiserver.conversion.review_call import ReviewCall
from tenantry.apiserver.conversion.stored_in import stored_in
from tenantry.apiserver.records import ConvertedRecord
from tenantry.apiserver.worker_threads import run_weighed, weigh
from tenantry.base.cache import Cache
from tenantry.base.tasks import awaited
from tenantry.base.time_slices import turns
from tenantry.kube.codec import stored
from tenantry.kube.conversion_review import ConversionFailed
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.schema.default import holds_floats
from tenantry.kube.schema.prune import prune
from tenantry.kube.status import TEXT_CHARACTERS, StatusError, cut, too_many_requests
from tenantry.storage.record import Record

SECONDS_MAX = 30.0
"""How long a call may take (upstream)."""
BATCH_OBJECTS, BATCH_BYTES = 100, 1 << 20
"""What one review may hold. A single object may be larger."""
REQUEST_BYTES_MAX = 128 << 20
"""What the objects may take that are converted for one request."""
_CACHE_BYTES = 32 << 20
_RUN = 256
"""Records that are looked at between two checks of the clock."""
_RECORD_BYTES = 400
"""About what a record takes beside its value."""


class _Key(NamedTuple):
    """`number`: that of the definition, which is another one after each change of its CustomResourceDefinition."""

    number: int
    cluster: str
    uid: str
    version: int


class Shown(NamedTuple):
    """Records in one version, and the type by which they are read."""

    definition: ResourceDefinition
    records: Sequence[Record]


class VersionConverter:
    """Conversion of the objects of one type to one version."""

    def __init__(self, converter: Converter, definition: ResourceDefinition, version: str) -> None:
        self._converter = converter
        self._definition = definition
        self._version = version

    def is_elsewhere(self, record: Record) -> bool:
        """Whether the record is in another version."""
        return records.written_in(record, self._definition) != self._version

    async def shown(self, found: Sequence[Record]) -> Sequence[Record]:
        """The records as `stored_in` reads them. Raises StatusError 500."""
        return (await self._converter.listed(found, self._definition, self._version)).records


class Converter:
    """The conversions of one server. `close` when it ends. `caller` None: nothing can be called."""

    def __init__(self, caller: WebhookCaller | None) -> None:
        self._caller = caller
        self.metrics = ConversionMetrics()
        self._known: Cache[_Key, ConvertedRecord] = Cache(
            "converted_objects", bytes_max=_CACHE_BYTES, size=lambda record: len(record.value) + _RECORD_BYTES
        )
        self._going: dict[_Key, asyncio.Task[Sequence[ConvertedRecord]]] = {}
        self._tasks: set[asyncio.Task[Sequence[ConvertedRecord]]] = set()
        self._numbers = 0

    def close(self) -> None:
        """Ends all conversions."""
        for task in self._tasks:
            task.cancel()

    def to(self, definition: ResourceDefinition, version: str) -> VersionConverter | None:
        """None for a type that no webhook converts."""
        return VersionConverter(self, definition, version) if definition.conversion is not None else None

    async def shown(self, found: Sequence[Record], definition: ResourceDefinition, version: str) -> Shown:
        """Stored objects in a version. Nothing is awaited where all are in it already. Raises StatusError 500 where one cannot be
        converted."""
        if definition.conversion is None:
            return Shown(definition, found)
        all_in, any_made = await _look(found, definition, version)
        if all_in:
            plain = version == definition.storage_version and not any_made
            return Shown(definition if plain else stored_in(definition, version), found)
        shown = stored_in(definition, version)
        made: list[Record] = []
        size = 0
        for batch in _batches(found):
            each = await self._batch(batch, definition, shown, version)
            size += sum(len(record.value) for record in each)
            if size > REQUEST_BYTES_MAX:
                raise too_many_requests(
                    f"the objects take more than {REQUEST_BYTES_MAX} bytes in {definition.api_version(version)}: list fewer "
                    "at a time (limit)"
                )
            made += each
            await turns.rest()
        return Shown(shown, made)

    async def listed(self, found: Sequence[Record], definition: ResourceDefinition, version: str) -> Shown:
        """As `shown`, for a list. Raises the StatusError that names the objects that cannot be converted."""
        try:
            return await self.shown(found, definition, version)
        except NotDecodable as error:
            raise not_listed(await self._undecodable(found, definition, version, error)) from None

    async def _undecodable(
        self, found: Sequence[Record], definition: ResourceDefinition, version: str, first: NotDecodable
    ) -> Sequence[NotDecodable]:
        """The errors of the objects that cannot be converted, as many as a list tells. A webhook that cannot be called is not
        called for each of them."""
        errors: list[NotDecodable] = []
        ends = asyncio.get_running_loop().time() + SECONDS_MAX
        for record in found:
            if records.written_in(record, definition) == version:
                continue
            try:
                if first.is_about_object:
                    await self.shown((record,), definition, version)
                else:
                    raise NotDecodable(record, definition.group_resource, first.why)
            except NotDecodable as error:
                errors.append(error)
            if len(errors) >= LISTED_MAX or asyncio.get_running_loop().time() > ends:
                break
            await turns.rest()
        return errors or [first]

    async def object(
        self,
        obj: Object,
        definition: ResourceDefinition,
        target: str,
        *,
        owner: str,
        deadline: float | None = None,
        whole: bool = False,
    ) -> Object:
        """A complete object in another version, a new one. `owner`: the logical cluster. `whole`: with what the schema of that
        version does not have. Raises StatusError 500."""
        if obj["apiVersion"] == definition.api_version(target):
            return obj
        call = self._call(definition, target, owner, deadline)
        try:
            (made,) = await call.convert([obj], weigh_object(obj))
        except ConversionFailed as failed:
            raise StatusError(500, "", cut(str(failed), TEXT_CHARACTERS)) from None
        if not whole:
            prune_to(made, definition, target)
        return made

    async def _batch(
        self, batch: Sequence[Record], definition: ResourceDefinition, shown: ResourceDefinition, version: str
    ) -> Sequence[Record]:
        """Records that make one review at most."""
        number = self._number_of(shown)
        made: list[Record | None] = []
        missing: dict[_Key, tuple[int, Record]] = {}
        going: dict[_Key, tuple[int, asyncio.Task[Sequence[ConvertedRecord]]]] = {}
        for at, record in enumerate(batch):
            written = records.written_in(record, definition)
            if written == version:
                made.append(_unmarked(record, version))
                continue
            key = _Key(number, record.key.cluster, record.head.uid, record.version)
            known = self._known.get(key)
            made.append(known)
            if known is None and key in self._going:
                going[key] = at, self._going[key]
            elif known is None:
                missing[key] = at, record
        if missing:
            task = awaited(
                self._convert([(key, record) for key, (_, record) in missing.items()], definition, shown, version),
                name=f"conversion-{definition.plural}",
            )
            self._tasks.add(task)
            self._going |= dict.fromkeys(missing, task)
            task.add_done_callback(lambda done: self._ended(done, list(missing)))
            for (at, _), each in zip(missing.values(), await _result(task), strict=True):
                made[at] = each
        for key, (at, other) in going.items():
            # Another request's batch: its failure may be about another object.
            try:
                await _result(other)
                made[at] = self._known.get(key)
            except StatusError:
                pass
            if made[at] is None:
                (made[at],) = await self._batch((batch[at],), definition, shown, version)
        return [each for each in made if each is not None]

    def _ended(self, task: asyncio.Task[Sequence[ConvertedRecord]], keys: Iterable[_Key]) -> None:
        self._tasks.discard(task)
        for key in keys:
            if self._going.get(key) is task:
                del self._going[key]
        if not task.cancelled():
            # Its requests may all have ended.
            task.exception()

    async def _convert(
        self, wanted: Sequence[tuple[_Key, Record]], definition: ResourceDefinition, shown: ResourceDefinition, version: str
    ) -> Sequence[ConvertedRecord]:
        owner = wanted[0][1].key.cluster
        weight = sum(weigh(record.value) for _, record in wanted)

        def read() -> list[Object]:
            return [_as_stored(record, definition) for _, record in wanted]

        objects = await run_weighed(owner, weight, read)
        call = self._call(definition, version, owner, None)
        try:
            texts = await call.convert(objects, weight)
        except ConversionFailed as failed:
            record = wanted[failed.place][1]
            raise NotDecodable(record, definition.group_resource, str(failed), is_about_object=failed.about_objects) from None

        def write() -> list[ConvertedRecord]:
            return [_record(obj, record, shown, version) for obj, (_, record) in zip(texts, wanted, strict=True)]

        made = await run_weighed(owner, call.answer_weight, write)
        for (key, _), each in zip(wanted, made, strict=True):
            self._known.put(key, each)
        return made

    def _call(self, definition: ResourceDefinition, version: str, owner: str, deadline: float | None) -> ReviewCall:
        if self._caller is None or definition.conversion is None:
            raise StatusError(500, "", f"conversion webhook for {definition.group_resource} cannot be called by this server")
        now = asyncio.get_running_loop().time()
        ends = now + SECONDS_MAX if deadline is None else min(deadline, now + SECONDS_MAX)
        return ReviewCall(self._caller, self.metrics, definition, version, owner=owner, deadline=ends)

    def _number_of(self, shown: ResourceDefinition) -> int:
        memo = shown.versions[shown.storage_version].memo
        number: int | None = memo.get("conversion.number")
        if number is None:
            self._numbers += 1
            number = memo["conversion.number"] = self._numbers
        return number


async def _result(task: asyncio.Task[Sequence[ConvertedRecord]]) -> Sequence[ConvertedRecord]:
    """The result of a task that others await too. Where one of them gives up, the task goes on."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise StatusError(503, "ServiceUnavailable", "the server is stopping") from None
        raise


async def _look(found: Sequence[Record], definition: ResourceDefinition, version: str) -> tuple[bool, bool]:
    """Whether all records are in a version, and whether any is there because it was converted."""
    any_made = False
    for at in range(0, len(found), _RUN):
        for record in found[at : at + _RUN]:
            if records.written_in(record, definition) != version:
                return False, False
            any_made = any_made or type(record) is ConvertedRecord
        if at + _RUN < len(found):
            await turns.rest()
    return True, any_made


def _batches(found: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Neighbours of one logical cluster that one review may hold."""
    start = size = 0
    for at, record in enumerate(found):
        full = size + len(record.value) > BATCH_BYTES or at - start >= BATCH_OBJECTS
        if start < at and (full or record.key.cluster != found[start].key.cluster):
            yield found[start:at]
            start, size = at, 0
        size += len(record.value)
    if start < len(found):
        yield found[start:]


def _as_stored(record: Record, definition: ResourceDefinition) -> Object:
    """The object in the version in which it is stored, as a webhook gets it: without a resourceVersion (upstream)."""
    written = records.written_in(record, definition)
    if written not in definition.versions:
        why = f"request to convert CR from an invalid group/version: {definition.api_version(written)}"
        raise NotDecodable(record, definition.group_resource, why)
    obj = records.decode(record, stored_in(definition, written), written)
    del obj["metadata"]["resourceVersion"]
    return obj


def _record(obj: Object, record: Record, shown: ResourceDefinition, version: str) -> ConvertedRecord:
    prune_to(obj, shown, version)
    value = stored.encode(obj, floats=holds_floats(shown.versions[version].schema))
    return ConvertedRecord(record.key, value, record.version, records.head_of(obj, shown), version)


def _unmarked(record: Record, version: str) -> Record:
    value = stored.unmarked(record.value)
    return record if value is record.value else ConvertedRecord(record.key, value, record.version, record.head, version)


def prune_to(obj: Object, definition: ResourceDefinition, version: str) -> None:
    """Removes what the schema of a version does not have from what a webhook has made, in place. The metadata is the server's."""
    metadata = obj.pop("metadata")
    prune(obj, definition.versions[version].schema)
    rest = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind")}
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
    obj.clear()
    obj.update(head | rest)


def weigh_object(obj: Object) -> int:
    """The weight of an object whose text is not at hand, by counting its values until they are many."""
    waiting: list[object] = [obj]
    weight = 0
    while waiting and weight < _HEAVY:
        value = waiting.pop()
        weight += 1
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            weight += len(value) >> 9
    return weight


_HEAVY = 20_000
