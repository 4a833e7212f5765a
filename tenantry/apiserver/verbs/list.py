"""list: the objects of a collection at one version, in pages where a limit is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tenantry.apiserver.scope import Call
from tenantry.apiserver.storage_errors import require_readable
from tenantry.apiserver.verbs import continue_token
from tenantry.apiserver.verbs.candidates import Candidates
from tenantry.apiserver.verbs.continue_token import ANY_VERSION, ContinueToken
from tenantry.apiserver.verbs.options import EXACT, ListOptions, list_options
from tenantry.apiserver.verbs.request_selection import selection
from tenantry.apiserver.verbs.resource_version_parameter import is_foreign, requested, wait_for_version
from tenantry.apiserver.verbs.respond import list_response, representation_of
from tenantry.apiserver.verbs.selection import Selection
from tenantry.http.messages import Reply
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError, bad_request, expired
from tenantry.storage.keys import Key
from tenantry.storage.range import TooOld
from tenantry.storage.record import Record

_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with "
    "the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
_CONVERTED_TOGETHER = 500
_TOO_OLD = "The resourceVersion for the provided list is too old."


async def list_objects(call: Call) -> Reply:
    """The collection. Raises StatusError: 400 and 422 for options, 410 for a version that is too old, 504 for one that is not
    reached in time."""
    representation = representation_of(call)
    options = list_options(call.request, watch=False)
    wanted = await selection(call, options.label_selector, options.field_selector)
    found, list_metadata = await select(call, options, wanted)
    return await list_response(call, representation, found, list_metadata, bytes_max=_bytes_max(call, list_metadata))


def _bytes_max(call: Call, list_metadata: Object) -> int | None:
    """An upper bound for the bytes of the listed values: the bytes of all objects in the cluster. None where this does not bound
    the list, for example for an old version."""
    range_, cluster = call.scope.range, call.scope.cluster
    if cluster is None or list_metadata["resourceVersion"] != str(range_.version):
        return None
    return range_.usage(cluster)[1]


async def select(call: Call, options: ListOptions, wanted: Selection) -> tuple[list[Record], Object]:
    """The records of one page, and the list's metadata. The records are a consistent snapshot at the list's version, also when
    writes happen while they are filtered. Raises StatusError."""
    range_ = call.scope.range
    limit, token = options.limit, None
    if options.continue_token:
        token = continue_token.decode(options.continue_token)
        if options.resource_version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        version = token.version if token.version != ANY_VERSION else 0
    else:
        version = requested(options.resource_version)
    if options.resource_version == "0" and not options.match and token is None:
        # Upstream answers "any version" from its cache, which ignores limits.
        limit = 0
    exact = options.match == EXACT or token is not None or bool(limit and not options.match)
    if version:
        await wait_for_version(range_, version)
        if not is_foreign(version, range_):
            await range_.backfilled(version)
        elif exact:
            raise _gone(token, version)
    candidates = Candidates(range_, wanted, call.scope.cluster, call.namespace or None)
    await candidates.prepare()
    require_readable(range_)
    at = version if exact and version else range_.version
    # A list at an old version shows what is visible now, and its other pages show the same.
    visible_at = range_.version if token is None or token.version == ANY_VERSION else token.visible_at or at
    try:
        records = candidates.now() if at == range_.version else candidates.at(at)
        then = wanted if visible_at == range_.version else wanted.at(visible_at)
        listed = records if token is None else _after(records, token, call)
        if call.definition.conversion is not None and wanted.has_selectors:
            found, count = await _choose_converted(call, then, list(listed), limit)
        else:
            found, count = await then.choose(listed, limit)
    except TooOld:
        raise _gone(token, at) from None
    list_metadata: Object = {"resourceVersion": str(at)}
    if count is None or count > len(found):
        seen_by_all = wanted.visibility is None or visible_at == at
        token = ContinueToken(at, _place(found[-1].key, call), 0 if seen_by_all else visible_at)
        list_metadata["continue"] = token.encode()
        if count is not None:
            list_metadata["remainingItemCount"] = count - len(found)
    return found, list_metadata


async def _choose_converted(
    call: Call, wanted: Selection, listed: Sequence[Record], limit: int
) -> tuple[list[Record], int | None]:
    """As `Selection.choose`, by what the objects are in the version of the request. The records are in that version."""
    chosen: list[Record] = []
    for at in range(0, len(listed), _CONVERTED_TOGETHER):
        shown = await call.scope.converter.listed(listed[at : at + _CONVERTED_TOGETHER], call.definition, call.version)
        found, _ = await replace(wanted, definition=shown.definition).choose(shown.records)
        chosen += found
        if limit and len(chosen) > limit:
            return chosen[:limit], None
    return chosen, len(chosen)


def _gone(token: ContinueToken | None, version: int) -> StatusError:
    if token is None:
        return expired(_TOO_OLD)
    return expired(_EXPIRED, continue_token=ContinueToken(ANY_VERSION, token.start).encode())


def _after(records: Sequence[Record], token: ContinueToken, call: Call) -> Sequence[Record]:
    """The records after the token's place. Both are in key order."""
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        if _place(records[middle].key, call) <= token.start:
            low = middle + 1
        else:
            high = middle
    return records[low:]


def _place(key: Key, call: Call) -> str:
    place = f"{key.namespace or '-'}/{key.name}" if not call.namespace else f"/{key.name}"
    return place if call.scope.cluster is not None else f"{key.cluster}/{place}"
