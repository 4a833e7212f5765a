"""The steps of a request to its verb: locate the route, authenticate, find the scope, impersonate, authorize, dispatch.

Each part of the URL space (`/clusters/…`, `/services/<view>/…`, `/ranges/<name>/…`) has a path resolver, which turns a path
into a route. The route gives a scope and a Kubernetes path inside it. Other paths belong to the process. A route that does not
exist takes the same steps up to authorization, which refuses the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Protocol

from tenantry.apiserver import impersonation, request_info
from tenantry.apiserver.audit.auditor import Annotate, Auditor
from tenantry.apiserver.audit.trail import DECISION, REASON
from tenantry.apiserver.authentication.authenticator import ANONYMOUS_USER, Authenticator
from tenantry.apiserver.authorization import ALLOWED, NOT_PERMITTED, Attributes, Decision
from tenantry.apiserver.deferred import Deferred, at_once, decided
from tenantry.apiserver.endpoints.health import HEALTH_PATHS, KINDS, Health
from tenantry.apiserver.endpoints.issuer import IssuerEndpoint
from tenantry.apiserver.endpoints.nonresource import Endpoints
from tenantry.apiserver.endpoints.plain import page_not_found, text
from tenantry.apiserver.endpoints.version import VersionEndpoint
from tenantry.apiserver.error_responses import failed_view, to_status
from tenantry.apiserver.flow_control import FlowControl
from tenantry.apiserver.forbidden import forbidden_request
from tenantry.apiserver.negotiation import error_response
from tenantry.apiserver.path_resolver import PathResolver, RemoteRoute, Resolved
from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import RequestInfo
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import check_readable
from tenantry.apiserver.timeout_parameter import check_timeout
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs.serve import serve
from tenantry.base.metrics import CONTENT_TYPE, Metrics
from tenantry.http.errors import HttpError
from tenantry.http.messages import Reply, Response
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.status import StatusError, generic_not_found, unauthorized, unavailable

_SERVICES = "services"
_SELECTING = frozenset(("list", "watch", "deletecollection"))
_UNKNOWN_USER = User("")
_SHARDED_REQUEST = "x-kubernetes-sharded-request"


PROCESS_PATHS = HEALTH_PATHS | {"/version"}
"""The paths of the process that need no authorization."""
Serve = Callable[[Request, Scope, User, RequestInfo, ResourceDefinition, Version], Awaitable[Reply]]


class ViewCaller(Protocol):
    """Calls the processes that serve views which this process does not."""

    def is_from_peer(self, request: Request) -> bool:
        """Whether such a process, or another shard, sent the request here: it is not sent back."""
        ...

    async def call(self, view: str, range_name: str, request: Request) -> Reply:
        """Raises StatusError 503 if none answers."""
        ...


class _NoViews:
    """For a process that serves all of its views itself."""

    def is_from_peer(self, request: Request) -> bool:
        return True

    async def call(self, view: str, range_name: str, request: Request) -> Reply:
        raise unavailable(f"no process serves the view {view}")


class Pipeline:
    """Handles every request of a process, from the HTTP server and from other shards.

    `resolvers`: `clusters`, `ranges` and `services` or `services/<view>` → PathResolver. `root` gives the scope of the root
    cluster, by whose RBAC the paths of the process are authorized; it raises StatusError where this shard does not serve that
    cluster, whose id is `root_cluster`.
    `forward(range, request)` sends a request to the owner of another range. `token_cluster` reads the logical cluster,
    unverified, from a service account's token, None for other tokens: with such a token, kcp's clients may leave out
    `/clusters/<id>`. `views` calls the processes of views. `open_paths`: the paths of the process that need no authentication.
    `serve` runs the verb of an authorized request. `flow_control` decides which authorized requests to a logical cluster may run
    now; None: all of them. `auditor` records the requests that this process answers, and not those that it passes on, with
    `annotations_of` their clusters; None: no request. `passes_on`: whether `serve` has another process answer such a request.

    A request whose `user` is already set comes from a trusted caller. It is neither authenticated nor impersonated again.
    """

    def __init__(
        self,
        resolvers: Mapping[str, PathResolver],
        authenticator: Authenticator,
        *,
        root: Callable[[], Scope],
        root_cluster: str,
        forward: Callable[[str, Request], Awaitable[Reply]],
        health: Health | None = None,
        metrics: Metrics | None = None,
        version: VersionEndpoint | None = None,
        issuer: IssuerEndpoint | None = None,
        token_cluster: Callable[[Request], str | None] | None = None,
        views: ViewCaller | None = None,
        open_paths: Collection[str] = PROCESS_PATHS,
        serve: Serve = serve,
        flow_control: FlowControl | None = None,
        auditor: Auditor | None = None,
        annotations_of: Annotate = lambda cluster: {},
        passes_on: Callable[[RequestInfo], bool] = lambda info: False,
    ) -> None:
        self._resolvers = resolvers
        self._authenticator = authenticator
        self._root = root
        self._root_cluster = root_cluster
        self._forward = forward
        self._views = views or _NoViews()
        self._serve_verb = serve
        self._flow_control = flow_control
        self._auditor = auditor
        self._annotations_of = annotations_of
        self._passes_on = passes_on
        self._open_paths = frozenset(open_paths)
        self._health = health or Health()
        self._metrics = metrics or Metrics()
        self._version = version or VersionEndpoint()
        self._token_cluster = token_cluster
        self._endpoints = Endpoints(self._health, self._version, issuer)

    def __call__(self, request: Request) -> Coroutine[Any, Any, Reply]:
        # Not a coroutine around another one: it is made for each request.
        return self._answer(request) if self._auditor is None else self._recorded(request, self._auditor)

    async def _recorded(self, request: Request, auditor: Auditor) -> Reply:
        try:
            reply = await self._answer(request)
        except BaseException as error:
            auditor.failed(request, error, to_status)
            raise
        return await auditor.end(request, reply)

    async def _answer(self, request: Request) -> Reply:
        try:
            return await self._route(request, request.path)
        except StatusError as error:
            return error_response(error, request)
        except HttpError:
            raise
        except Exception as error:  # a view may raise any error; the server answers for others
            if not request.view:
                raise
            return error_response(failed_view(request, error), request)

    async def _route(self, request: Request, path: str) -> Reply:
        end = path.find("/", 1)
        first = path[1:] if end < 0 else path[1:end]
        resolver = self._resolvers.get(first)
        if resolver is None and first == _SERVICES and end > 0:
            end = path.find("/", end + 1)
            resolver = self._resolvers.get(path[1:] if end < 0 else path[1:end])
        if resolver is None:
            return await self._process(request, path)
        route = resolver.locate("/" if end < 0 else path[end:])
        if isinstance(route, RemoteRoute):
            if route.here is None or not self._views.is_from_peer(request):
                return await self._pass_on(request, route)
            route = route.here()
            if isinstance(route, RemoteRoute):
                return await self._pass_on(request, route)
        if route.path == "/metrics":
            # Metrics are of the process and not of a tenant; kcp gives the same answer to every caller.
            return text("metrics are served without a /clusters prefix only\n", 501)
        user = request.user
        if user is not None:
            found = route.resolve(request)
            await self._record(request, user, found.path or "/", found.cluster)
            return await self._serve(request, found, user)
        user = await self._authenticated(request, route.cluster, route.path or "/")
        if user is None:
            raise unauthorized()
        found = route.resolve(request)
        await self._record(request, user, found.path or "/", found.cluster)
        return await self._serve(request, found, await self._impersonated(request, user, found))

    async def _pass_on(self, request: Request, route: RemoteRoute) -> Reply:
        passed = replace(request, path=route.path)
        try:
            if route.view:
                return await self._views.call(route.view, route.range_name, passed)
            return await self._forward(route.range_name, passed)
        finally:
            # Another shard of this process has set these. What other processes set comes in what they answer.
            request.header_lines, request.verb = passed.header_lines, passed.verb

    async def _impersonated(self, request: Request, user: User, found: Resolved) -> User:
        request.user = user
        if impersonation.wanted(request):
            attributes = _attributes(user, request_info.parse(request.method, found.path or "/", request), found.cluster)
            made = await decided(lambda: impersonation.impersonate(request, attributes, found.authorizer), place=request.place)
            request.user, request.impersonator, request.impersonation_constraint = made.user, user, made.constraint
        return request.user

    async def _serve(self, request: Request, found: Resolved, user: User) -> Reply:
        path = found.path or "/"
        info = request_info.parse(request.method, path, request)
        request.verb = info.verb
        if info.verb != "watch":
            check_timeout(request)
        attributes = _attributes(user, info, found.cluster)
        if request.raw_query and info.verb in _SELECTING:
            attributes = attributes._replace(
                field_selector=request.parameter("fieldSelector"), label_selector=request.parameter("labelSelector")
            )
        control = self._flow_control if found.cluster is not None and not request.view else None
        if control is not None:
            flow = control.plans.standard.flow(user, attributes)
            request.header_lines = flow.header_lines
        try:
            decision, apis = at_once(_decide, found, attributes)
        except Deferred as deferred:
            decision, apis = await decided(lambda: _decide(found, attributes), deferred, place=request.place)
        _note(request, decision)
        cluster = attributes.cluster
        if control is not None and cluster in control.plans.own and _may_know(request, attributes, decision):
            flow = control.plans.of(cluster).flow(user, attributes)
            request.header_lines = flow.header_lines
        if not decision.allowed:
            raise forbidden_request(attributes, decision.reason)
        if control is None:
            answer = self._carry_out(request, found, user, info, path, apis)
            return answer if isinstance(answer, Response) else await answer
        if flow.level.exempt:
            flow.dispatched += 1
            answer = self._carry_out(request, found, user, info, path, apis)
            return answer if isinstance(answer, Response) else await answer
        if not control.take_now(cluster, flow):
            await control.take(request, cluster, flow, attributes)
        try:
            answer = self._carry_out(request, found, user, info, path, apis)
            return answer if isinstance(answer, Response) else await answer
        finally:
            control.leave(cluster, flow)

    def _carry_out(
        self, request: Request, found: Resolved, user: User, info: RequestInfo, path: str, apis: ApiSet | None
    ) -> Response | Awaitable[Reply]:
        """The answer to an authorized request, or what makes it. `apis`: None where the scope does not exist."""
        scope = found.scope
        if scope is None or apis is None:
            return self._health.serve(request, path)
        if not info.is_resource:
            return self._endpoints.serve(request, scope, apis, path)
        served = apis.find(info.group, info.version, info.resource)
        if served is None:
            if info.group and all(definition.custom for definition in apis.of_group(info.group)):
                return page_not_found()
            raise generic_not_found()
        return self._serve_verb(request, scope, user, info, *served)

    async def _process(self, request: Request, path: str) -> Reply:
        """A path of the process itself, which has no logical cluster."""
        services = path.startswith("/services/") or path == "/services"
        if not services and self._token_cluster is not None and _SHARDED_REQUEST not in request.headers:
            cluster = self._token_cluster(request)
            if cluster:
                return await self._route(request, f"/clusters/{cluster}{path}")
        request.verb = request.method.lower()
        user = request.user or await self._authenticated(request, None, path)
        if user is None:
            if path not in self._open_paths:
                raise unauthorized()
            user = ANONYMOUS_USER
        await self._record(request, user, path, self._root_cluster if path not in self._open_paths else None)
        request.user = user
        if request.impersonator is None and impersonation.wanted(request):
            root = self._root()
            user = await self._impersonated(request, user, Resolved(path, root.cluster, root.authorizer, None))
        if path in PROCESS_PATHS:
            return self._version.serve(request) if path == "/version" else self._health.serve(request, path)
        attributes = Attributes(user, request.verb, self._root_cluster, path=path)
        if services:
            # No view of that name: kcp answers the same as for a view that the caller may not use.
            if user.is_master:
                return page_not_found()
            raise forbidden_request(attributes)
        scope = self._root()
        if path == "/metrics" or path.strip("/").partition("/")[0] in KINDS:
            decision = await decided(lambda: scope.authorizer.authorize(attributes), place=request.place)
            _note(request, decision)
            if not decision.allowed:
                raise forbidden_request(attributes, decision.reason)
            return self._metrics_text() if path == "/metrics" else self._health.serve(request, path)
        # Without a logical cluster no RBAC applies, so only system:masters is allowed (kcp). It sees root.
        if not user.is_master:
            raise forbidden_request(attributes)
        check_readable(scope.range)
        return await self._serve(request, Resolved(path, scope.cluster, scope.authorizer, scope), user)

    async def _authenticated(self, request: Request, cluster: str | None, path: str) -> User | None:
        """The caller, None if there are no credentials. Raises StatusError 401."""
        try:
            user = await self._authenticator.authenticate(request, cluster)
        except StatusError:
            await self._record(request, None, path, None)
            raise
        if user is None and path not in self._open_paths:
            await self._record(request, None, path, None)
        return user

    async def _record(self, request: Request, user: User | None, path: str, cluster: str | None) -> None:
        """Begins to record a request, where that is asked for. `user`: None for one without accepted credentials. Raises
        StatusError 500."""
        if self._auditor is None or request.audit is not None:
            return
        info = request_info.parse(request.method, path, request)
        attributes = _attributes(user or _UNKNOWN_USER, info, cluster)
        await self._auditor.begin(
            request,
            attributes,
            path,
            self._annotations_of,
            authenticated=user is not None,
            may_pass_on=self._passes_on(info),
        )

    def _metrics_text(self) -> Response:
        return Response(200, self._metrics.text(), CONTENT_TYPE, compressible=True)


def _attributes(user: User, info: RequestInfo, cluster: str | None) -> Attributes:
    return Attributes(
        user,
        info.verb,
        cluster or "*",
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
        info.path,
    )


def _may_know(request: Request, attributes: Attributes, decision: Decision) -> bool:
    """Whether the caller may see that a logical cluster has FlowSchemas of its own, and thereby that it exists."""
    if request.impersonator is not None:
        # A caller that may impersonate there has access.
        return True
    return decision.reason != NOT_PERMITTED and attributes.path not in HEALTH_PATHS


def _note(request: Request, decision: Decision) -> None:
    """Records a decision about a request."""
    if request.audit is not None:
        request.audit.annotate({DECISION: "allow" if decision.allowed else "forbid", REASON: decision.reason})


def _decide(found: Resolved, attributes: Attributes) -> tuple[Decision, ApiSet | None]:
    """The decision about a request, and the APIs in which its resource is looked up. The APIs are None where the request is not
    allowed or the scope does not exist."""
    if found.scope is None:
        return found.authorizer.authorize(attributes), None
    decision = ALLOWED if attributes.path in HEALTH_PATHS else found.authorizer.authorize(attributes)
    return decision, found.scope.apis() if decision.allowed else None
