"""deletecollection: DELETE of all objects that a list would show, one after the other."""

from __future__ import annotations

from tenantry.apiserver.body_decoding import BODY_LIMIT_BYTES
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.create import target_of
from tenantry.apiserver.verbs.delete import delete_object
from tenantry.apiserver.verbs.list import select
from tenantry.apiserver.verbs.options import WriteOptions, delete_options, list_options, refuse_unreadable
from tenantry.apiserver.verbs.request_selection import selection
from tenantry.apiserver.verbs.respond import list_response, representation_of
from tenantry.base.time_slices import turns
from tenantry.http.messages import Reply
from tenantry.kube.status import StatusError


async def delete_collection(call: Call) -> Reply:
    """200 with a list of the objects. Raises StatusError at the first object that cannot be deleted."""
    representation = representation_of(call)
    options = await delete_options(call.request, BODY_LIMIT_BYTES)
    refuse_unreadable(options)
    listing = list_options(call.request, watch=False)
    wanted = await selection(call, listing.label_selector, listing.field_selector)
    found, list_metadata = await select(call, listing, wanted)
    for record in found:
        target = target_of(call, WriteOptions(dry_run=options.dry_run))
        target.name, target.namespace, target.manager = record.key.name, record.key.namespace, ""
        target.named = False
        try:
            await delete_object(target, options)
        except StatusError as error:
            if error.reason != "NotFound":
                raise
        await turns.rest()
    return await list_response(call, representation, found, list_metadata)
