"""`serviceaccounts/<name>/token` (TokenRequest): issues a token for a service account, optionally bound to a secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tenantry.apiserver.authentication.service_account_tokens import BoundObject, Lookup, TokenIssuer
from tenantry.apiserver.endpoints.connected_admission import admit
from tenantry.apiserver.endpoints.connecting import created, read_body
from tenantry.apiserver.endpoints.plain import method_not_allowed
from tenantry.apiserver.scope import Call, Connector
from tenantry.http.messages import Reply
from tenantry.kube import field_errors
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import GroupResource, Object, split_api_version, timestamp
from tenantry.kube.status import FieldError, bad_request, conflict, invalid, new_uid, not_found
from tenantry.kube.types.reviews import TOKEN_REQUEST

_GROUP, _KIND = "authentication.k8s.io", "TokenRequest"
_SERVICE_ACCOUNTS = GroupResource("", "serviceaccounts")
_SECRETS = GroupResource("", "secrets")
_DEFAULT_SECONDS = 3600
_LEAST_SECONDS = 600
_MOST_SECONDS = 1 << 32

_DEFINITION = ResourceDefinition(
    group=_GROUP,
    plural="tokenrequests",
    singular="tokenrequest",
    kind=_KIND,
    list_kind=f"{_KIND}List",
    namespaced=True,
    versions={"v1": Version(name="v1", schema=TOKEN_REQUEST.schema)},
    storage_version="v1",
    verbs=("create",),
    stored=False,
    message=TOKEN_REQUEST,
)
"""The body's type; the resource of the request is serviceaccounts."""


def connectors(issuer: TokenIssuer, lookup: Lookup) -> dict[tuple[str, str, str], Connector]:
    """(group, resource, subresource) → the connector that answers it."""

    async def token_request(call: Call) -> Reply:
        return await _token_request(call, issuer, lookup)

    return {("", "serviceaccounts", "token"): token_request}


async def _token_request(call: Call, issuer: TokenIssuer, lookup: Lookup) -> Reply:
    if call.verb != "create":
        raise method_not_allowed()
    cluster, namespace, name = call.cluster, call.namespace, call.name
    as_request = replace(call, definition=_DEFINITION, version="v1")
    request = await read_body(as_request, _default)
    metadata: Object = request["metadata"]
    if metadata.get("name") and metadata["name"] != name:
        error = field_errors.invalid("metadata.name", metadata["name"], "must match the service account name if specified")
        raise invalid(_GROUP, _KIND, name, [error])
    uid = await lookup(cluster, "serviceaccounts", namespace, name)
    if uid is None:
        raise not_found(_SERVICE_ACCOUNTS, name)
    spec: Object = request["spec"]
    audiences = spec.get("audiences") or list(issuer.audiences)
    seconds = spec["expirationSeconds"]
    if errors := _validate(seconds):
        raise invalid(_GROUP, _KIND, "", errors)
    request["spec"] = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec.get("boundObjectRef")}
    request["status"] = {"token": "", "expirationTimestamp": None}
    filled = {"name": name, "namespace": namespace, "uid": new_uid(), "creationTimestamp": timestamp()}
    await admit(call, _DEFINITION, "v1", request, filled)
    spec = request["spec"]
    audiences, seconds, reference = spec.get("audiences") or audiences, spec["expirationSeconds"], spec.get("boundObjectRef")
    bound = None if reference is None else await _bound(reference, cluster, namespace, lookup)
    token, expires = issuer.issue(
        cluster=cluster,
        namespace=namespace,
        name=name,
        uid=uid,
        audiences=audiences,
        lifetime_seconds=seconds,
        bound=bound,
    )
    metadata.update(name=name, namespace=namespace, uid=uid, creationTimestamp=timestamp())
    request["spec"] = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference}
    request["status"] = {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(expires, UTC))}
    return await created(as_request, request)


def _default(request: Object) -> None:
    spec = request["spec"] = request.get("spec") or {}
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _DEFAULT_SECONDS


def _validate(seconds: int) -> list[FieldError]:
    path = "spec.expirationSeconds"
    if seconds < _LEAST_SECONDS:
        return [field_errors.invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > _MOST_SECONDS:
        return [field_errors.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


async def _bound(reference: Object, cluster: str, namespace: str, lookup: Lookup) -> BoundObject:
    api_version, kind, name = (reference.get(key) or "" for key in ("apiVersion", "kind", "name"))
    if (api_version, kind) != ("v1", "Secret"):
        group, version = split_api_version(api_version)
        raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
    if not name:
        raise bad_request("Name parameter required.")
    uid = await lookup(cluster, "secrets", namespace, name)
    if uid is None:
        raise not_found(_SECRETS, name)
    wanted = reference.get("uid") or ""
    if wanted and wanted != uid:
        raise conflict(
            GroupResource("", kind),
            name,
            f"the UID in the bound object reference ({wanted}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    return BoundObject(kind, name, uid)
