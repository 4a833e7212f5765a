"""The way of a request: routing, identity, authorization, and the paths that are no resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from tenantry.apiserver.authentication.authenticator import UnionAuthenticator
from tenantry.apiserver.authentication.service_account_tokens import TokenIssuer
from tenantry.apiserver.authentication.static_tokens import StaticTokens
from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.endpoints.issuer import IssuerEndpoint
from tenantry.apiserver.path_resolver import RemoteRoute
from tenantry.apiserver.pipeline import Pipeline
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Call
from tenantry.apiserver.user import KCP_ADMIN_GROUP, MASTERS_GROUP, SCOPES_EXTRA, User
from tenantry.http.messages import Reply, Response
from tenantry.kube.codec import protobuf
from tests.apiserver.pipeline_fakes import CONFIG_MAPS, Clusters, FakeScope, Rules

TOKENS = {
    "master": User("root", (MASTERS_GROUP,)),
    "admin": User("kcp-admin", (KCP_ADMIN_GROUP,)),
    "alice": User("alice", ("devs",)),
}


class ServedScopes:
    def __init__(self, **options: Any) -> None:
        self.rules = Rules()
        self.root = FakeScope("root", self.rules)
        self.other = FakeScope("abc", self.rules)
        self.health = Health()
        self.resolvers: dict[str, Any] = {"clusters": Clusters({"root": self.root, "abc": self.other})}
        anonymous = options.pop("anonymous", True)
        self.pipeline = Pipeline(
            self.resolvers,
            UnionAuthenticator(tokens=[StaticTokens(TOKENS)], anonymous=anonymous),
            root=lambda: self.root,
            root_cluster="root",
            forward=self.forward,
            health=self.health,
            **options,
        )
        self.calls: list[Call] = []

    async def forward(self, range_name: str, request: Request) -> Reply:
        request.header_lines, request.verb = "X-Flow: a\r\n", "list"
        return Response(200, f"{range_name} {request.path}".encode(), content_type="text/plain")

    def allow(self, verb: str = "", path: str = "", resource: str = "") -> None:
        self.rules.allowed = lambda a: a.verb == verb and a.path == path if path else a.verb == verb and a.resource == resource

    async def ask(self, path: str, token: str = "", method: str = "GET", query: str = "", headers: Any = None) -> Reply:
        every = CIMultiDict(headers or {})
        if token:
            every["Authorization"] = f"Bearer {token}"
        self.request = Request(method, path, query, every)
        return await self.pipeline(self.request)

    async def status(self, *args: Any, **more: Any) -> tuple[int, str]:
        reply = await self.ask(*args, **more)
        assert isinstance(reply, Response)
        body = orjson.loads(reply.body)
        return reply.status, body.get("message", "")

    async def text(self, *args: Any, **more: Any) -> tuple[int, str]:
        reply = await self.ask(*args, **more)
        assert isinstance(reply, Response)
        assert reply.content_type.startswith("text/plain")
        return reply.status, reply.body.decode()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> ServedScopes:
    made = ServedScopes()

    async def carry_out(call: Call, info: Any) -> Reply:
        made.calls.append(call)
        return Response(200, b"{}")

    monkeypatch.setattr("tenantry.apiserver.verbs.serve.carry_out", carry_out)
    return made


async def test_a_resource_reaches_its_verb(served: ServedScopes) -> None:
    served.allow("get", resource="configmaps")

    reply = await served.ask("/clusters/abc/api/v1/namespaces/default/configmaps/a", "alice")

    assert reply.status == 200
    call = served.calls[0]
    assert (call.definition, call.namespace, call.name, call.verb, call.scope) == (
        CONFIG_MAPS,
        "default",
        "a",
        "get",
        served.other,
    )
    assert call.user.name == "alice"
    asked = served.rules.asked[0]
    assert (asked.cluster, asked.version, asked.name) == ("abc", "v1", "a")
    assert (served.request.verb, served.request.user) == ("get", call.user)


async def test_cluster_scoped_resources_have_no_namespace(served: ServedScopes) -> None:
    await served.ask("/clusters/abc/api/v1/namespaces/default", "master")

    assert (served.calls[0].namespace, served.calls[0].name) == ("", "default")
    assert served.rules.asked[0].namespace == "default"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/api/v1/namespaces/default/configmaps",
            'configmaps is forbidden: User "alice" cannot list resource "configmaps" in API group "" in the namespace "default"',
        ),
        (
            "/api/v1/namespaces",
            'namespaces is forbidden: User "alice" cannot list resource "namespaces" in API group "" at the cluster scope',
        ),
        (
            "/apis/example.dev/v1/namespaces/n/widgets/w/status",
            'widgets.example.dev "w" is forbidden: User "alice" cannot get resource "widgets/status" in API group "example.dev" '
            'in the namespace "n"',
        ),
        ("/nope", 'forbidden: User "alice" cannot get path "/nope"'),
        ("/apis", 'forbidden: User "alice" cannot get path "/apis"'),
    ],
)
async def test_forbidden_in_upstreams_words(served: ServedScopes, path: str, message: str) -> None:
    assert await served.status(f"/clusters/abc{path}", "alice") == (403, message)
    served.rules.reason = "access denied"
    assert await served.status(f"/clusters/abc{path}", "alice") == (403, f"{message}: access denied")


async def test_identity_comes_before_everything_inside_a_cluster(served: ServedScopes) -> None:
    assert await served.status("/clusters/abc/nope", "wrong") == (401, "Unauthorized")
    assert (await served.status("/clusters/abc/nope"))[1] == 'forbidden: User "system:anonymous" cannot get path "/nope"'


async def test_no_credentials_without_anonymous_are_401() -> None:
    served = ServedScopes(anonymous=False)
    assert (await served.status("/clusters/abc/api"))[0] == 401
    assert (await served.status("/api"))[0] == 401
    assert await served.text("/livez") == (200, "ok")


@pytest.mark.parametrize(
    "path",
    ["/nope", "/apis/nope.dev", "/apis/nope.dev/v1", "/apis/nope.dev/v1/things", "/apis/example.dev/v2/widgets", "/openapi/v4"],
)
async def test_unknown_paths_are_a_page(served: ServedScopes, path: str) -> None:
    assert await served.text(f"/clusters/abc{path}", "master") == (404, "404 page not found\n")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2",
        "/api/v2/configmaps",
        "/api/v1/nosuch",
        "/apis/rbac.authorization.k8s.io/v9",
        "/apis/rbac.authorization.k8s.io/v9/roles",
    ],
)
async def test_unknown_resources_of_built_in_groups_are_a_status(served: ServedScopes, path: str) -> None:
    assert await served.status(f"/clusters/abc{path}", "master") == (404, "the server could not find the requested resource")


async def test_a_preset_user_is_trusted(served: ServedScopes) -> None:
    request = Request("GET", "/clusters/abc/api/v1/configmaps", headers={"impersonate-user": "x"}, user=TOKENS["master"])
    assert (await served.pipeline(request)).status == 200
    assert served.calls[0].user is TOKENS["master"]


async def test_views_and_unknown_services(served: ServedScopes) -> None:
    served.resolvers["services/mine"] = Clusters({"abc": served.other})
    assert (await served.ask("/services/mine/abc/api/v1/configmaps", "master")).status == 200
    assert await served.text("/services/other/abc", "master") == (404, "404 page not found\n")
    code, message = await served.status("/services/other/abc", "alice")
    assert (code, message) == (403, 'forbidden: User "alice" cannot get path "/services/other/abc"')


async def test_what_is_elsewhere_is_answered_there(served: ServedScopes) -> None:
    class Ranges:
        def locate(self, path: str) -> RemoteRoute:
            return RemoteRoute("range-2", f"/ranges{path}")

    served.resolvers["ranges"] = Ranges()
    assert await served.text("/ranges/range-2/clusters/x") == (200, "range-2 /ranges/range-2/clusters/x")
    request = Request("GET", "/ranges/range-2/clusters/x")
    await served.pipeline(request)
    assert (request.header_lines, request.verb) == ("X-Flow: a\r\n", "list"), "as the other shard of the process set them"


async def test_health(served: ServedScopes) -> None:
    wrong: list[str] = []
    served.health.add("store", lambda: wrong[0] if wrong else None)
    for path in ("/healthz", "/livez", "/readyz", "/clusters/abc/readyz"):
        assert await served.text(path) == (200, "ok")
    assert await served.text("/readyz", query="verbose") == (
        200,
        "[+]ping ok\n[+]shutdown ok\n[+]store ok\nreadyz check passed\n",
    )
    wrong.append("disk full")
    assert await served.text("/livez") == (200, "ok")
    code, body = await served.text("/readyz")
    assert (code, body) == (500, "[+]ping ok\n[+]shutdown ok\n[-]store failed: reason withheld\nreadyz check failed\n")
    assert await served.text("/readyz", query="exclude=store") == (200, "ok")
    assert (await served.status("/readyz/store", "alice"))[0] == 403
    assert await served.text("/readyz/store", "master") == (500, "internal server error: disk full\n")
    assert await served.text("/readyz/ping", "master") == (200, "ok")
    assert await served.text("/clusters/abc/readyz/none", "master") == (404, "404 page not found\n")
    assert (await served.status("/healthz", "wrong"))[0] == 401
    wrong.clear()
    served.health.drain()
    assert (await served.text("/readyz"))[0] == 500


async def test_version(served: ServedScopes) -> None:
    for path in ("/version", "/clusters/abc/version", "/clusters/abc/version/"):
        reply = await served.ask(path, "master")
        assert isinstance(reply, Response)
        assert orjson.loads(reply.body)["gitVersion"].startswith("v1.")
    assert (await served.ask("/version")).status == 200
    assert (await served.status("/clusters/abc/version", "alice"))[0] == 403
    code, message = await served.status("/version", "master", method="POST")
    assert (code, message) == (405, "the server does not allow this method on the requested resource")


async def test_metrics_belong_to_the_process(served: ServedScopes) -> None:
    for token in ("master", "alice", "wrong"):
        assert (await served.text("/clusters/root/metrics", token))[0] == 501
    assert await served.status("/metrics", "alice") == (403, 'forbidden: User "alice" cannot get path "/metrics"')
    served.allow("get", path="/metrics")
    reply = await served.ask("/metrics", "alice")
    assert isinstance(reply, Response)
    assert b"apiserver_current_inflight_requests" in reply.body


async def test_paths_without_a_cluster_are_for_masters(served: ServedScopes) -> None:
    served.rules.allowed = lambda attributes: True
    assert (await served.status("/api", "admin"))[0] == 403
    assert (await served.status("/api", "master"))[0] == 200
    reply = await served.ask("/", "master")
    assert isinstance(reply, Response)
    assert {"/api", "/api/v1", "/apis/example.dev", "/apis/example.dev/v1", "/readyz"} <= set(orjson.loads(reply.body)["paths"])


async def test_a_service_account_may_leave_out_its_cluster() -> None:
    served = ServedScopes(token_cluster=lambda request: "abc")
    served.rules.allowed = lambda attributes: True
    assert (await served.ask("/api", "alice")).status == 200
    assert served.rules.asked[-1].cluster == "abc"
    assert (await served.status("/api", "alice", headers={"X-Kubernetes-Sharded-Request": "1"}))[0] == 403


def impersonating(**headers: str) -> dict[str, str]:
    return {f"Impersonate-{name.replace('_', '-')}": value for name, value in headers.items()}


async def whoami(served: ServedScopes, token: str, headers: Any) -> User:
    await served.ask("/clusters/abc/api/v1/configmaps", token, headers=headers)
    return served.calls[-1].user


async def test_masters_impersonate_anyone(served: ServedScopes) -> None:
    served.rules.allowed = lambda attributes: True
    headers = CIMultiDict(
        [
            ("Impersonate-User", "zoe"),
            ("Impersonate-Group", "devs"),
            ("Impersonate-Group", MASTERS_GROUP),
            ("Impersonate-Uid", "u-1"),
            ("Impersonate-Extra-Acme.com%2Fproject", "x"),
        ]
    )
    user = await whoami(served, "master", headers)

    assert user == User("zoe", ("devs", MASTERS_GROUP, "system:authenticated"), "u-1", (("acme.com/project", ("x",)),))
    assert served.request.impersonator is not None
    assert served.request.impersonator.name == "root"


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("zoe", ("system:authenticated",)),
        ("system:anonymous", ("system:unauthenticated",)),
        ("system:serviceaccount:ns:robot", ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")),
    ],
)
async def test_groups_by_default(served: ServedScopes, name: str, groups: tuple[str, ...]) -> None:
    served.rules.allowed = lambda attributes: True
    assert (await whoami(served, "master", impersonating(User=name))).groups == groups


async def test_others_need_the_verb_impersonate_and_are_confined_to_the_cluster(served: ServedScopes) -> None:
    asked: list[Attributes] = []

    def allowed(attributes: Attributes) -> bool:
        asked.append(attributes)
        if attributes.verb.startswith("impersonate"):
            return attributes.verb == "impersonate" and attributes.name in ("zoe", "devs", "u")
        return True

    served.rules.allowed = allowed
    user = await whoami(served, "alice", impersonating(User="zoe", Group="devs", Uid="u"))
    assert user.extra_values(SCOPES_EXTRA) == ("cluster:abc",)
    assert [(a.group, a.resource, a.name) for a in asked if a.verb == "impersonate"] == [
        ("", "users", "zoe"),
        ("authentication.k8s.io", "uids", "u"),
        ("", "groups", "devs"),
    ]
    code, message = await served.status("/clusters/abc/api", "alice", headers=impersonating(User="max"))
    assert (code, message) == (
        403,
        'forbidden: User "alice" cannot impersonate-on:user-info:get path "/api"',
    )


@pytest.mark.parametrize(
    ("token", "group", "code"),
    [
        ("alice", MASTERS_GROUP, 403),
        ("alice", KCP_ADMIN_GROUP, 403),
        ("admin", KCP_ADMIN_GROUP, 200),
        ("admin", MASTERS_GROUP, 403),
        ("admin", "system:kcp:initializer:root:universal", 403),
        ("alice", "system:kcp:terminator:abc:special", 403),
        ("master", "system:kcp:initializer:root:universal", 200),
    ],
)
async def test_nobody_climbs_the_ladder_of_privileged_groups(served: ServedScopes, token: str, group: str, code: int) -> None:
    served.rules.allowed = lambda attributes: True
    reply = await served.ask("/clusters/abc/api/v1/configmaps", token, headers=impersonating(User="zoe", Group=group))
    assert reply.status == code


@pytest.mark.parametrize(
    ("token", "key", "code"),
    [
        ("alice", "authorization.kcp.io%2Fwarrant", 403),
        ("alice", "authentication.kcp.io%2Fcluster-name", 403),
        ("alice", "authentication.kcp.io%2Fscopes", 200),
        ("alice", "acme.com%2Fproject", 200),
        ("master", "authorization.kcp.io%2Fwarrant", 200),
    ],
)
async def test_nobody_impersonates_what_counts_in_every_cluster(served: ServedScopes, token: str, key: str, code: int) -> None:
    served.rules.allowed = lambda attributes: True
    headers = {**impersonating(User="zoe"), f"Impersonate-Extra-{key}": "x"}
    reply = await served.ask("/clusters/abc/api/v1/configmaps", token, headers=headers)
    assert reply.status == code


async def test_a_group_without_a_user_is_400(served: ServedScopes) -> None:
    assert await served.status("/clusters/abc/api", "alice", headers=impersonating(Group="devs")) == (
        400,
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"devs"}, Extra:map[string][]string(nil)}'
        " without impersonating a user name",
    )


async def test_refusals_in_yaml_and_protobuf(served: ServedScopes) -> None:
    reply = await served.ask("/clusters/abc/api", "alice", headers={"Accept": "application/yaml"})
    assert isinstance(reply, Response)
    assert (reply.status, reply.content_type) == (403, "application/yaml")
    reply = await served.ask("/clusters/abc/api", "alice", headers={"Accept": "application/vnd.kubernetes.protobuf"})
    assert isinstance(reply, Response)
    assert (reply.status, reply.content_type) == (403, "application/vnd.kubernetes.protobuf")


PROTOBUF = "application/vnd.kubernetes.protobuf"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


async def test_discovery(served: ServedScopes) -> None:
    async def get(path: str, accept: str = "", **headers: str) -> Response:
        reply = await served.ask(f"/clusters/abc{path}", "master", headers={"Accept": accept, **headers})
        assert isinstance(reply, Response)
        return reply

    assert orjson.loads((await get("/api")).body)["kind"] == "APIVersions"
    assert orjson.loads((await get("/apis/")).body)["kind"] == "APIGroupList"
    assert orjson.loads((await get("/apis/example.dev")).body)["kind"] == "APIGroup"
    assert orjson.loads((await get("/api/v1")).body)["kind"] == "APIResourceList"
    for version in ("v2", "v2beta1"):
        answer = await get("/apis", f"{AGGREGATED.format(version)},application/json")
        assert orjson.loads(answer.body)["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        assert answer.content_type == AGGREGATED.format(version)
        assert (answer.headers["Vary"], answer.headers["Cache-Control"], len(answer.headers["ETag"])) == ("Accept", "public", 130)
        again = await get("/apis", AGGREGATED.format(version), **{"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    assert orjson.loads((await get("/apis", f"{AGGREGATED.format('v9')},application/json")).body)["kind"] == "APIGroupList"
    assert (await get("/apis", AGGREGATED.format("v9"))).status == 406
    assert (await get("/api/v1", "text/html")).status == 406
    assert (await served.ask("/clusters/abc/api/v1", "master", method="POST")).status == 405


async def test_discovery_in_protobuf(served: ServedScopes) -> None:
    async def get(path: str, accept: str) -> tuple[str, Any]:
        reply = await served.ask(f"/clusters/abc{path}", "master", headers={"Accept": accept})
        assert isinstance(reply, Response) and reply.status == 200
        return reply.content_type, protobuf.decode(reply.body)

    for path in ("/api", "/apis", "/apis/example.dev", "/api/v1"):
        _, found = await get(path, PROTOBUF)
        reply = await served.ask(f"/clusters/abc{path}", "master")
        assert isinstance(reply, Response)
        wanted = orjson.loads(reply.body)
        assert found["kind"] == wanted["kind"]
    assert [each["name"] for each in found["resources"]] == [each["name"] for each in wanted["resources"]]
    asked = AGGREGATED.replace("application/json", PROTOBUF)
    for version in ("v2", "v2beta1"):
        content_type, found = await get("/apis", f"{asked.format(version)},application/json")
        assert (content_type, found["apiVersion"]) == (asked.format(version), f"apidiscovery.k8s.io/{version}")
        assert "example.dev" in [each["metadata"]["name"] for each in found["items"]]


async def test_openapi(served: ServedScopes) -> None:
    async def get(path: str, query: str = "", **headers: str) -> Response:
        reply = await served.ask(f"/clusters/abc{path}", "master", query=query, headers=headers)
        assert isinstance(reply, Response)
        return reply

    index = await get("/openapi/v3")
    assert index.content_type == "text/plain; charset=utf-8"
    # As kube-apiserver 1.37.2 answers: always modified now, so only `*` is not modified.
    assert set(index.headers) == {"Last-Modified"}
    unchanged = {"*": 304, '"x"': 200}
    assert {tag: (await get("/openapi/v3", **{"If-None-Match": tag})).status for tag in unchanged} == unchanged
    since = {"If-Modified-Since": index.headers["Last-Modified"]}
    assert (await get("/openapi/v3", "hash=WRONG", **since)).status == 200
    link = orjson.loads(index.body)["paths"]["apis/example.dev/v1"]["serverRelativeURL"]
    path, _, query = link.partition("?")
    plain = await get(path)
    assert (plain.status, "Cache-Control" in plain.headers, plain.headers["Vary"]) == (200, False, "Accept")
    hashed = await get(path, query)
    assert (hashed.body, hashed.headers["Cache-Control"]) == (plain.body, "public, immutable")
    assert orjson.loads(hashed.body)["openapi"] == "3.0.0"
    assert (await get(path, query, **{"If-None-Match": hashed.headers["ETag"]})).status == 304
    moved = await get(path, "hash=WRONG")
    assert (moved.status, moved.headers["Location"]) == (301, f"/clusters/abc{link}")
    assert (await get("/openapi/v3/apis/none.dev/v1")).status == 404
    forms = {"application/xml": 406, "application/xml, application/*;q=0.5": 200, "*/*": 200}
    assert {form: (await get(path, Accept=form)).status for form in forms} == forms
    swagger = await get("/openapi/v2")
    assert orjson.loads(swagger.body)["swagger"] == "2.0"
    assert (await get("/openapi/v2", **{"If-None-Match": swagger.headers["ETag"]})).status == 304
    old = await get("/openapi/v2", Accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert (old.status, old.content_type) == (200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
    assert old.body.startswith(b"\x0a\x032.0") and old.headers["ETag"] != swagger.headers["ETag"]
    assert (await get("/openapi/v2", Accept="application/xml")).status == 406


async def test_issuer(served: ServedScopes, tmp_path: Path) -> None:
    issuer = TokenIssuer.load(tmp_path / "sa.key")
    served = ServedScopes(issuer=IssuerEndpoint(issuer, "https://host:6443"))

    async def get(path: str, accept: str = "") -> Response:
        reply = await served.ask(f"/clusters/abc{path}", "master", headers={"Accept": accept} if accept else {})
        assert isinstance(reply, Response)
        return reply

    configuration = orjson.loads((await get("/.well-known/openid-configuration")).body)
    assert (configuration["issuer"], configuration["jwks_uri"]) == (issuer.issuer, "https://host:6443/openid/v1/jwks")
    keys = await get("/openid/v1/jwks")
    assert keys.content_type == "application/jwk-set+json"
    assert {"alg": "RS256", "e": "AQAB", "kty": "RSA", "use": "sig"}.items() <= orjson.loads(keys.body)["keys"][0].items()
    refused = await get("/openid/v1/jwks", "application/json")
    assert orjson.loads(refused.body)["message"].endswith("Available representations: application/jwk-set+json")
    assert (await get("/openid/v1/other")).status == 404
