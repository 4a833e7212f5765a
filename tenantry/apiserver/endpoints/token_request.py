"""`serviceaccounts/<name>/token` (TokenRequest): issues a token for a service account. It may be bound to a Secret, or to a
Pod or Node where the logical cluster has these types."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from tenantry.apiserver.authentication.service_account_tokens import BoundObject, TokenIssuer, credential_id
from tenantry.apiserver.endpoints.connected_admission import admit
from tenantry.apiserver.endpoints.connecting import created, read_body
from tenantry.apiserver.endpoints.plain import method_not_allowed
from tenantry.apiserver.scope import Call, Connector
from tenantry.http.messages import Reply
from tenantry.kube import field_errors
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.go_text import quote
from tenantry.kube.objects import GroupResource, Object, split_api_version, timestamp
from tenantry.kube.status import bad_request, conflict, invalid, new_uid, not_found
from tenantry.kube.token_requests import is_webhook, token_request_errors
from tenantry.kube.types.reviews import TOKEN_REQUEST

_GROUP, _KIND = "authentication.k8s.io", "TokenRequest"
_SERVICE_ACCOUNTS = GroupResource("", "serviceaccounts")
_BOUND = {"Secret": "secrets", "Pod": "pods", "Node": "nodes"}
"""Kinds of the core group that tokens are bound to."""
_DEFAULT_ACCOUNT = "default"
"""A Pod that names no account has this one: no admission plugin fills it in here."""
_DEFAULT_SECONDS = 3600
_ISSUED = "authentication.kubernetes.io/issued-credential-id"
"""The audit annotation that names the new token, by which events of its later requests are found."""

_DEFINITION = ResourceDefinition(
    group=_GROUP,
    plural="tokenrequests",
    singular="tokenrequest",
    kind=_KIND,
    list_kind=f"{_KIND}List",
    namespaced=True,
    versions={"v1": Version(name="v1", schema=TOKEN_REQUEST.schema, message=TOKEN_REQUEST)},
    storage_version="v1",
    verbs=("create",),
    stored=False,
)
"""The body's type; the resource of the request is serviceaccounts."""


class Objects(Protocol):
    """What tokens are issued for and bound to. (cluster, resource, namespace, name) → the object."""

    async def __call__(self, cluster: str, resource: str, namespace: str, name: str) -> str | None:
        """Its uid, as `Lookup`."""
        ...

    async def read(self, cluster: str, resource: str, namespace: str, name: str) -> Object | None: ...


def connectors(issuer: TokenIssuer, lookup: Objects) -> dict[tuple[str, str, str], Connector]:
    """(group, resource, subresource) → the connector that answers it."""

    async def token_request(call: Call) -> Reply:
        return await _token_request(call, issuer, lookup)

    return {("", "serviceaccounts", "token"): token_request}


async def _token_request(call: Call, issuer: TokenIssuer, lookup: Objects) -> Reply:
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
    wanted_uid = metadata.get("uid") or ""
    if wanted_uid and wanted_uid != uid:
        why = f"the UID in the token request ({wanted_uid}) does not match the UID of the service account ({uid})"
        raise conflict(GroupResource(_GROUP, _KIND), name, why)
    spec: Object = request["spec"]
    spec["audiences"] = spec.get("audiences") or list(issuer.audiences)
    if errors := token_request_errors(spec):
        raise invalid(_GROUP, _KIND, "", errors)
    spec.setdefault("boundObjectRef", None)
    request["status"] = {"token": "", "expirationTimestamp": None}
    filled = {"name": name, "namespace": namespace, "uid": new_uid(), "creationTimestamp": timestamp()}
    await admit(call, _DEFINITION, "v1", request, filled)
    spec = request["spec"]
    spec["audiences"], reference = spec.get("audiences") or list(issuer.audiences), spec.get("boundObjectRef")
    bound = None if reference is None else await _bound(reference, cluster, namespace, name, lookup)
    token_id = new_uid()
    token, expires = issuer.issue(
        cluster=cluster,
        namespace=namespace,
        name=name,
        uid=uid,
        audiences=spec["audiences"],
        lifetime_seconds=spec["expirationSeconds"],
        bound=bound,
        token_id=token_id,
    )
    call.audit_annotations[_ISSUED] = credential_id(token_id)
    metadata.update(name=name, namespace=namespace, uid=uid, creationTimestamp=timestamp())
    request["status"] = {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(expires, UTC))}
    return await created(as_request, request)


def _default(request: Object) -> None:
    spec = request["spec"] = request.get("spec") or {}
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _DEFAULT_SECONDS


async def _bound(reference: Object, cluster: str, namespace: str, account: str, lookup: Objects) -> BoundObject:
    """The object that a token of a service account is bound to. Only the group of its version counts (upstream). Raises
    StatusError."""
    api_version, kind, name = (reference.get(key) or "" for key in ("apiVersion", "kind", "name"))
    group, version = split_api_version(api_version) if api_version.count("/") < 2 else ("", "")
    text = f"{group}/{version}, Kind={kind}"
    if is_webhook(reference):
        why = f"cannot bind token to object of type {text} (feature gate APIServerWebhookAuthenticationToken is disabled)"
        raise bad_request(why)
    resource = _BOUND.get(kind) if not group else None
    if resource is None:
        raise bad_request(f"cannot bind token to object of type {text}")
    if not name:
        raise bad_request("Name parameter required.")
    found = await lookup.read(cluster, resource, "" if resource == "nodes" else namespace, name)
    if found is None:
        raise not_found(GroupResource("", resource), name)
    uid, node = found["metadata"]["uid"], ("", "")
    if resource == "pods":
        spec = found.get("spec") or {}
        if (spec.get("serviceAccountName") or _DEFAULT_ACCOUNT) != account:
            why = f"cannot bind token for serviceaccount {quote(account)} to pod running with different serviceaccount name."
            raise bad_request(why)
        if node_name := spec.get("nodeName"):
            node = (node_name, await lookup(cluster, "nodes", "", node_name) or "")
    wanted = reference.get("uid") or ""
    if wanted and wanted != uid:
        raise conflict(
            GroupResource("", kind),
            name,
            f"the UID in the bound object reference ({wanted}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    return BoundObject(kind, name, uid, node)
