"""`/api`, `/apis`, `/apis/<group>`, `/apis/<group>/<version>`: one by one, or the aggregated document for clients that ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.apiserver.endpoints.documents import document, not_modified
from tenantry.apiserver.endpoints.plain import method_not_allowed, page_not_found
from tenantry.apiserver.negotiation import JSON, PROTOBUF, YAML, encode, negotiate
from tenantry.apiserver.request import Request
from tenantry.http.messages import Response
from tenantry.kube import discovery
from tenantry.kube.api_set import ApiSet
from tenantry.kube.objects import Object
from tenantry.kube.status import generic_not_found

_VERSIONS = ("v2", "v2beta1")
_ANY = frozenset((JSON, "*/*", "application/*"))


async def serve(request: Request, apis: ApiSet, segments: Sequence[str]) -> Response:
    """The document at a path, which is given as `segments`. Raises StatusError 404, 405, 406."""
    core = segments[0] == "api"
    if len(segments) == 1:
        if core and request.method != "GET":
            raise method_not_allowed()
        asked = _aggregated_form(request.header("accept"))
        if asked is not None:
            return await _aggregated(request, apis, core, *asked)
        return await _legacy(
            request, apis, tuple(segments), discovery.core_versions if core else lambda: discovery.group_list(apis)
        )
    group = "" if core else segments[1]
    versions = apis.groups().get(group)
    if not core and len(segments) == 2:
        if versions is None:
            return page_not_found()
        return await _legacy(request, apis, tuple(segments), lambda: discovery.group(apis, group))
    version = segments[-1]
    if versions is None or version not in versions:
        if core or any(not definition.custom for definition in apis.of_group(group)):
            raise generic_not_found()
        return page_not_found()
    if request.method != "GET":
        raise method_not_allowed()
    return await _legacy(request, apis, tuple(segments), lambda: discovery.resource_list(apis, group, version))


def _aggregated_form(accept: str) -> tuple[str, str] | None:
    """`v2` or `v2beta1`, and the media type, where the first Accept clause that can be served asks for the aggregated
    document."""
    if "apidiscovery.k8s.io" not in accept:
        return None
    for clause in accept.split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        if media_type not in _ANY and media_type not in (YAML, PROTOBUF):
            continue
        if "as=APIGroupDiscoveryList" in parameters and "g=apidiscovery.k8s.io" in parameters:
            for version in _VERSIONS:
                if f"v={version}" in parameters:
                    return version, PROTOBUF if media_type == PROTOBUF else JSON
        elif not any(parameter.startswith("as=") for parameter in parameters):
            return None
    return None


async def _aggregated(request: Request, apis: ApiSet, core: bool, version: str, media_type: str) -> Response:
    key = ("discovery", "aggregated", core, version, media_type)
    content = await document(apis, key, lambda: encode(discovery.aggregated(apis, core=core, version=version), media_type))
    headers = {"Cache-Control": "public", "ETag": f'"{content.digest}"', "Vary": "Accept"}
    shown = f"{media_type};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    if not_modified(request, content.digest):
        return Response(304, b"", shown, headers)
    return Response(200, content.body, shown, headers, compressible=True)


async def _legacy(request: Request, apis: ApiSet, key: tuple[str, ...], make: Callable[[], Object | None]) -> Response:
    media_type = negotiate(request.header("accept"), custom=False, protobuf=True).media_type
    content = await document(apis, ("discovery", key, media_type), lambda: encode(make(), media_type))
    return Response(200, content.body, media_type, compressible=True)
