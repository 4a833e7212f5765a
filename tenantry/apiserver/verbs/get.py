"""get: one object from memory."""

from __future__ import annotations

from tenantry.apiserver.conversion.errors import reading
from tenantry.apiserver.scope import Call
from tenantry.apiserver.storage_errors import require_readable
from tenantry.apiserver.verbs.request_selection import visible_to
from tenantry.apiserver.verbs.resource_version_parameter import wait_for_version, watched
from tenantry.apiserver.verbs.respond import record_response, representation_of
from tenantry.http.messages import Reply
from tenantry.kube.status import not_found
from tenantry.storage.record import Record


async def get(call: Call) -> Reply:
    """The object. A GET of `/status` gives the same. Raises StatusError 404."""
    representation = representation_of(call)
    if call.request.raw_query:
        wanted = watched(call.request.parameter("resourceVersion"))
        if wanted:
            await wait_for_version(call.scope.range, wanted)
    record = find(call)
    with reading():
        return await record_response(call, representation, record)


def find(call: Call) -> Record:
    """The record of the named object. Raises StatusError 404 where it does not exist or the caller cannot see it."""
    range_ = call.scope.range
    require_readable(range_)
    record = range_.get(call.key)
    visible = visible_to(call)
    if record is None or (visible is not None and not visible(record)):
        raise not_found(call.group_resource, call.name)
    return record
