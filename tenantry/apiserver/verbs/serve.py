"""Runs the verb of a call. The table below has every verb."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tenantry.apiserver.error_responses import status_response
from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import RequestInfo
from tenantry.apiserver.scope import Call, Connector, Scope
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs.create import create
from tenantry.apiserver.verbs.delete import delete
from tenantry.apiserver.verbs.delete_collection import delete_collection
from tenantry.apiserver.verbs.get import find, get
from tenantry.apiserver.verbs.list import list_objects
from tenantry.apiserver.verbs.patch import patch
from tenantry.apiserver.verbs.scale import get_scale, patch_scale, update_scale
from tenantry.apiserver.verbs.update import update
from tenantry.apiserver.verbs.watch import watch
from tenantry.http.errors import HttpError
from tenantry.http.messages import Reply
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.status import StatusError, bad_request, generic_not_found, method_not_allowed, not_found

Verb = Callable[[Call], Awaitable[Reply]]

_ON_COLLECTIONS: dict[str, Verb] = {
    "list": list_objects,
    "watch": watch,
    "create": create,
    "deletecollection": delete_collection,
}
_ON_OBJECTS: dict[str, Verb] = {"get": get, "update": update, "patch": patch, "delete": delete}
_ON_SUBRESOURCES: dict[str, dict[str, Verb]] = {
    "scale": {"get": get_scale, "update": update_scale, "patch": patch_scale},
}
_ON_OTHER_SUBRESOURCES: dict[str, Verb] = {"get": get, "update": update, "patch": patch}
"""As far as the type has these verbs (`Version.verbs_of`)."""
_WITHOUT_CLUSTER = frozenset(("list", "watch"))
_DEEPEST = 3


async def serve(
    request: Request, scope: Scope, user: User, info: RequestInfo, definition: ResourceDefinition, version: Version
) -> Reply:
    """The answer to a request for objects of a type. Errors become answers, too."""
    call = Call(
        request,
        scope,
        user,
        definition,
        version.name,
        info.namespace if definition.namespaced else "",
        info.parts[1] if len(info.parts) > 1 else "",
        info.subresource,
        info.verb,
    )
    try:
        return await carry_out(call, info)
    except (StatusError, HttpError) as error:
        return status_response(error, request, call.warnings)
    finally:
        if request.audit is not None:
            request.audit.annotate(call.audit_annotations)


async def carry_out(call: Call, info: RequestInfo) -> Reply:
    """Runs the verb. Raises StatusError; the call's warnings are to be sent with the error, too."""
    definition = call.definition
    if call.shape.deprecation_warning:
        call.warnings.append(call.shape.deprecation_warning)
    if call.request.method == "HEAD" or (info.verb == "watch" and call.request.method != "GET"):
        raise _not_allowed()
    if len(info.parts) > _DEEPEST:
        raise generic_not_found()
    if call.scope.cluster is None and info.verb not in _WITHOUT_CLUSTER:
        refused = method_not_allowed(call.group_resource, info.verb or info.path)
        raise StatusError(405, refused.reason, f"{refused.message} in the `*` logical cluster", details=refused.details)
    if definition.namespaced:
        _check_namespaced(call, info)
    elif info.in_namespace:
        # The caller was authorized for that namespace, but objects of this type have no namespace.
        raise generic_not_found()
    return await _verb(call, info)(call)


def _verb(call: Call, info: RequestInfo) -> Verb:
    definition = call.definition
    if info.subresource:
        return _subresource_verb(call, info)
    if not definition.stored:
        connector = call.scope.connector(definition, "") if info.verb in definition.verbs else None
        if connector is not None:
            return connector
        raise method_not_allowed(call.group_resource, info.verb) if definition.custom and info.verb else _not_allowed()
    # A watch of one object (/watch/… paths) is a watch of a collection in which one name is shown.
    table = _ON_OBJECTS if call.name and info.verb != "watch" else _ON_COLLECTIONS
    verb = table.get(info.verb)
    if verb is None or info.verb not in definition.verbs:
        if call.definition.custom and info.verb:
            raise method_not_allowed(call.group_resource, info.verb)
        raise _not_allowed()
    return verb


def _subresource_verb(call: Call, info: RequestInfo) -> Verb:
    """The verb for a subresource. A subresource that the scope's type does not list does not exist, even where the scope has a
    connector for it."""
    shape, name = call.shape, info.subresource
    known = shape.scale is not None if name == "scale" else name in shape.subresources
    if not known:
        raise not_found(call.group_resource, call.name) if call.definition.custom else generic_not_found()
    own = shape.subresource_verbs.get(name)
    if own is None or info.verb in own:
        connector = call.scope.connector(call.definition, name)
        if connector is not None:
            return _of_visible(connector)
        verb = _ON_SUBRESOURCES.get(name, _ON_OTHER_SUBRESOURCES).get(info.verb)
        if verb is not None and info.verb in shape.verbs_of(name):
            return verb
    raise method_not_allowed(call.group_resource, info.verb) if call.definition.custom else _not_allowed()


def _of_visible(connector: Connector) -> Verb:
    """The connector, restricted to objects that the caller can see. The verbs of this package check that themselves."""

    async def answer(call: Call) -> Reply:
        if call.scope.visibility(call.definition, call.user, call.verb) is not None:
            find(call)
        return await connector(call)

    return answer


def _check_namespaced(call: Call, info: RequestInfo) -> None:
    if info.namespace:
        if call.scope.cluster is None:
            raise bad_request("cross-cluster LIST and WATCH are required to be cross-namespace")
        return
    if call.name and info.verb != "watch":
        raise generic_not_found()
    if info.verb not in _WITHOUT_CLUSTER:
        raise _not_allowed()


def _not_allowed() -> StatusError:
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={})
