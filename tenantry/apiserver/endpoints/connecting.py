"""Reads bodies and writes answers of connectors: types that are not stored, such as access reviews."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tenantry.apiserver.decoding import read_object
from tenantry.apiserver.negotiation import JSON, PROTOBUF, YAML, encode, negotiate
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.options import manager_of, write_options
from tenantry.apiserver.worker_threads import run_weighed
from tenantry.http.messages import Response
from tenantry.kube.apply.managed_fields import record_update
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.status import bad_request, not_acceptable


async def read_body(call: Call, default: Callable[[Object], None] | None = None) -> Object:
    """The object in the body. Its field owners are recorded as for every create. `default` fills in the type's defaults, in
    place. Raises StatusError."""
    representation = negotiate(call.request.header("accept"), custom=False, protobuf=True)
    if representation.transformation:
        raise not_acceptable((JSON, YAML, PROTOBUF))
    options = write_options(call.request, "CreateOptions")
    obj = await read_object(call, options.validation)
    metadata = obj.get("metadata") or {}
    obj["metadata"] = metadata
    # The status is the server's: what the client sent there is dropped before field owners are recorded.
    sent_status = obj.pop("status", None)
    if default is not None:
        default(obj)
        if call.request.audit is not None:
            call.request.audit.sent(obj if sent_status is None else {**obj, "status": sent_status})
    if call.definition.namespaced:
        if metadata.setdefault("namespace", call.namespace) != call.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata.pop("namespace", None)
    note = partial(
        record_update,
        obj,
        None,
        manager=manager_of(call.request, options.manager),
        api_version=call.definition.api_version(call.version),
        schema=call.shape.schema,
        subresource=call.subresource,
        now=timestamp(),
    )
    await run_weighed(call.scope.cluster or "", call.weight, note)
    return obj


async def created(call: Call, obj: Object) -> Response:
    """201 with the object. The object is about as large as the request's body, so the body's weight is used."""
    media_type = negotiate(call.request.header("accept"), custom=False, protobuf=True).media_type
    whole: Object = {"kind": call.definition.kind, "apiVersion": call.definition.api_version(call.version)}
    whole.update((key, value) for key, value in obj.items() if key not in ("kind", "apiVersion"))
    body = await run_weighed(call.scope.cluster or "", call.weight, lambda: encode(whole, media_type))
    return Response(201, body, media_type, warnings=call.warnings)
