"""watch: the objects that a list would show, and then every change of them."""

from __future__ import annotations

from dataclasses import replace

from tenantry.apiserver.conversion.stored_in import stored_in
from tenantry.apiserver.negotiation import TABLE
from tenantry.apiserver.scope import Call
from tenantry.apiserver.storage_errors import check_readable, require_readable
from tenantry.apiserver.streams import WatchRequest, WatchStream, default_timeout
from tenantry.apiserver.verbs.options import list_options
from tenantry.apiserver.verbs.request_selection import selection
from tenantry.apiserver.verbs.resource_version_parameter import check_cell, is_foreign, watched
from tenantry.apiserver.verbs.respond import representation_of
from tenantry.apiserver.watch_events import Encoder
from tenantry.http.messages import Reply, Sink, Stream
from tenantry.kube.codec.table import INCLUDE
from tenantry.kube.selectors import fields
from tenantry.kube.status import StatusError, bad_request


async def watch(call: Call) -> Reply:
    """A stream of events. Raises StatusError for errors that are known before the first byte. 410 is sent as an event
    (upstream)."""
    representation = representation_of(call, watch=True)
    options = list_options(call.request, watch=True)
    include = call.request.parameter("includeObject")
    if representation.transformation == TABLE and include and include not in INCLUDE:
        raise bad_request(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{include}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    wanted = await selection(call, options.label_selector, _with_name(call, options.field_selector))
    version, range_ = watched(options.resource_version), call.scope.range
    require_readable(range_)
    initial = options.send_initial_events
    if initial and version < range_.version and is_foreign(version, range_):
        # It begins with the state of now, which is not older.
        version = 0
    if version:
        try:
            check_cell(version, range_)
        except StatusError as error:
            refused = Encoder(call.definition, call.version, representation, messages=call.request.websocket)
            return _refusal(call, refused, error)
        await range_.backfilled(version)
        # If the range was released meanwhile, answer before the first byte, so that the watch can go to the new owner.
        check_readable(range_)
    present = call.scope.present(call.definition, call.user)
    shown = call.definition if call.definition.conversion is None else stored_in(call.definition, call.version)
    encoder = Encoder(shown, call.version, representation, include, present, call.request.websocket)
    watch_request = WatchRequest(
        version=version,
        initial=initial if initial is not None else not version,
        marker=bool(initial) and options.bookmarks,
        bookmarks=options.bookmarks,
        timeout_seconds=float(options.timeout_seconds) if options.timeout_seconds else default_timeout(),
    )
    if call.definition.conversion is not None:
        wanted = replace(wanted, definition=shown)
    stream = WatchStream(call, encoder, wanted, watch_request)
    return Stream(stream, content_type=encoder.content_type, warnings=call.warnings)


def _with_name(call: Call, field_selector: str) -> str:
    """The field selector for a watch whose path names one object."""
    if not call.name:
        return field_selector
    mine = f"metadata.name={fields.escape(call.name)}"
    if not field_selector:
        return mine
    try:
        named = fields.parse(field_selector).required_value("metadata.name")
    except ValueError as error:
        raise bad_request(str(error)) from None
    if named is not None and named != call.name:
        raise bad_request("fieldSelector metadata.name doesn't match requested name")
    return f"{field_selector},{mine}"


def _refusal(call: Call, encoder: Encoder, error: StatusError) -> Stream:
    async def run(sink: Sink) -> None:
        sink.send(encoder.framed(encoder.error(error)))

    return Stream(run, content_type=encoder.content_type, warnings=call.warnings)
