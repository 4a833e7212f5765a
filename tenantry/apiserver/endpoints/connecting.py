"""What the answerers of requests in the shape of objects have in common: reading the body, writing the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tenantry.apiserver.decoding import read_object
from tenantry.apiserver.negotiation import JSON, PROTOBUF, YAML, encode, negotiate
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.options import manager_of, write_options
from tenantry.apiserver.work import beside
from tenantry.http.messages import Response
from tenantry.kube.apply.managed_fields import record_update
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.status import bad_request, not_acceptable


async def read_body(call: Call, default: Callable[[Object], None] | None = None) -> Object:
    """The object that was sent, with its field owners noted as for every create. `default` fills in, in place, what the type has
    by default. Raises StatusError."""
    representation = negotiate(call.request.header("accept"), custom=False)
    if representation.transformation:
        raise not_acceptable((JSON, YAML, PROTOBUF))
    options = write_options(call.request, "CreateOptions")
    obj = await read_object(call, options.validation)
    metadata = obj.get("metadata") or {}
    obj["metadata"] = metadata
    if call.definition.namespaced:
        if metadata.setdefault("namespace", call.namespace) != call.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata.pop("namespace", None)
    # What a client says about the answer is dropped: it is not the owner of it either.
    obj.pop("status", None)
    if default is not None:
        default(obj)
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
    await beside(call.scope.cluster or "", call.weight, note)
    return obj


async def created(call: Call, obj: Object) -> Response:
    """201 with the answered object, which is about as large as what was sent."""
    media_type = negotiate(call.request.header("accept"), custom=False).media_type
    whole: Object = {"kind": call.definition.kind, "apiVersion": call.definition.api_version(call.version)}
    whole.update((key, value) for key, value in obj.items() if key not in ("kind", "apiVersion"))
    body = await beside(call.scope.cluster or "", call.weight, lambda: encode(whole, media_type))
    return Response(201, body, media_type, warnings=call.warnings)
