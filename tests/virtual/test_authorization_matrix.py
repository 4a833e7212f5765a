"""Who may do what, where: each kind of caller, with each verb and subresource, in workspaces, views, ranges and wildcards.

What is expected comes from the model below, a few sets and rules that know nothing of the code which is held against them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from shard.service_accounts import ServiceAccountLookup
from tenantry.apiserver.authentication.service_account import TokenIssuer
from tenantry.apiserver.endpoints import token_request
from tenantry.apiserver.http import Request, Response
from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tenantry.virtual.initializing.initializing import InitializingWorkspaces
from tenantry.virtual.initializing.lifecycle import lifecycle_label
from tests.tenancy.exports_world import World, accepted, claim

HERE, ELSEWHERE, PROVIDER, TYPES, NEW = (f"r{name:0<15}" for name in ("here", "elsewhere", "provider", "types", "new"))
MISSING, OF_NO_RANGE = "rmissing00000000", "zmissing00000000"
EXPORT = f"apiexport/{PROVIDER}/cowboys"
WAITING = f"initializingworkspaces/{TYPES}:special"

# The model. A right is (cluster, verb, resource or resource/subresource), where * is anything.

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
READ = {"get", "list", "watch"}
RESOURCES = {
    "configmaps": "/api/v1/namespaces/default/configmaps",
    "secrets": "/api/v1/namespaces/default/secrets",
    "serviceaccounts": "/api/v1/namespaces/default/serviceaccounts",
    "cowboys": "/apis/wild.west/v1/namespaces/default/cowboys",
    "limitranges": "/api/v1/namespaces/default/limitranges",
}
SUBRESOURCES = {
    "serviceaccounts/token": {"create"},
    "cowboys/status": {"get", "update", "patch"},
    "configmaps/status": set(),
    "cowboys/scale": set(),
}
"""The verbs that each has; no verb: there is none of that name."""
CLAIMS = {"configmaps": READ | {"create"}, "secrets": {"get"}, "serviceaccounts": {"create"}}
"""What the consumer accepted of the provider's claims; of secrets it was asked for everything."""


@dataclass(frozen=True)
class Caller:
    """`enters`: the clusters that let it in. `content`: its verbs on the content of the export, in the provider's cluster.
    `knows`: it may enter every cluster."""

    user: User
    enters: frozenset[str] = frozenset()
    rights: frozenset[tuple[str, str, str]] = frozenset()
    content: frozenset[str] = frozenset()
    initializes: bool = False
    master: bool = False
    knows: bool = False


def caller(name: str, *groups: str, extra: Object | None = None, **more: Any) -> Caller:
    every = (*groups, "system:authenticated") if name != "system:anonymous" else groups
    values = tuple(sorted((key, tuple(each)) for key, each in (extra or {}).items()))
    return Caller(User(name, every, "", values), **more)


def all_in(*clusters: str) -> dict[str, Any]:
    return {"enters": frozenset(clusters), "rights": frozenset((cluster, "*", "*") for cluster in clusters)}


def robot(cluster: str, **more: Any) -> Caller:
    groups = ("system:serviceaccounts", "system:serviceaccounts:default")
    extra = {"authentication.kcp.io/cluster-name": [cluster]}
    return caller("system:serviceaccount:default:robot", *groups, extra=extra, **more)


CALLERS = {
    "anonymous": caller("system:anonymous", "system:unauthenticated"),
    "stranger": caller("stranger"),
    "member": caller("member", enters=frozenset({HERE}), rights=frozenset((HERE, verb, "configmaps") for verb in READ)),
    "outsider with rights, who is not let in": caller("outsider"),
    "admin": caller("admin", **all_in(HERE)),
    "admin of elsewhere": caller("rival", **all_in(ELSEWHERE)),
    "service account of here": robot(HERE, enters=frozenset({HERE}), rights=frozenset({(HERE, "*", "configmaps")})),
    "service account of elsewhere": robot(ELSEWHERE, enters=frozenset({ELSEWHERE})),
    "impersonated here": caller("anybody", "vip", extra={"authentication.kcp.io/scopes": [f"cluster:{HERE}"]}, **all_in(HERE)),
    "vip": caller("someone", "vip", **all_in(HERE, ELSEWHERE)),
    "provider": caller("sheriff", content=frozenset(VERBS)),
    "provider who reads": caller("deputy", content=frozenset(READ)),
    "provider impersonated in the consumer's": caller("sheriff", extra={"authentication.kcp.io/scopes": [f"cluster:{HERE}"]}),
    "initializer": caller("builder", initializes=True),
    "initializer impersonated in the new workspace": caller(
        "builder", extra={"authentication.kcp.io/scopes": [f"cluster:{NEW}"]}
    ),
    "system:kcp:admin": caller("kcp-admin", "system:kcp:admin", knows=True, **all_in(HERE, ELSEWHERE, PROVIDER, TYPES, NEW)),
    "system:masters": caller("root", "system:masters", master=True, knows=True),
}
YES, NO, ABSENT = "served", "403", "404 or 405"


def exists(what: str, verb: str, *, bound: bool) -> bool:
    resource, _, subresource = what.partition("/")
    if resource == "cowboys" and not bound:
        return False
    return verb in SUBRESOURCES[what] if subresource else True


def in_workspace(who: Caller, cluster: str, verb: str, what: str) -> str:
    found = exists(what, verb, bound=cluster == HERE)
    if not who.master:
        if cluster not in who.enters or not {(cluster, verb, what), (cluster, "*", what), (cluster, "*", "*")} & who.rights:
            return NO
        # The provider lets its consumers read, and writes are for its own vips: not for who is called so by a consumer.
        if cluster == HERE and what.startswith("cowboys") and verb not in READ and "vip" not in outside(who).groups:
            return NO
    return YES if found else ABSENT


def outside(who: Caller) -> User:
    return User("", ()) if who.user.extra else who.user


def in_export(who: Caller, cluster: str, verb: str, what: str) -> str:
    resource, _, subresource = what.partition("/")
    if not who.master:
        claimed = verb in CLAIMS.get(resource, ()) or resource == "cowboys"
        # kcp:admin may do everything in the provider's workspace too.
        content = set(VERBS) if "system:kcp:admin" in who.user.groups else who.content
        if cluster != HERE or not claimed or verb not in content:
            return NO
    if resource not in CLAIMS and resource != "cowboys":
        return ABSENT
    return YES if not subresource or (resource == "cowboys" and verb in SUBRESOURCES[what]) else ABSENT


def in_initializing(who: Caller, cluster: str, verb: str, what: str) -> str:
    if not (who.initializes or who.knows):
        return NO
    if cluster != NEW:
        return NO
    # As the owner, who may do everything in there.
    return YES if exists(what, verb, bound=False) else ABSENT


def across(who: Caller, place: str, verb: str, what: str) -> str:
    """Wildcards: of a range for masters, of a view for those who may use it."""
    if place == EXPORT:
        content = set(VERBS) if who.knows else who.content
        return (YES if what in (*CLAIMS, "cowboys") else ABSENT) if verb in content else NO
    if not who.master:
        return NO
    return YES if what != "cowboys" else ABSENT


def cells() -> Iterator[tuple[str, str, str, str, str, str]]:
    """(caller, place, URL base, verb, resource or resource/subresource, expected)."""
    whats = [*RESOURCES, *SUBRESOURCES]
    workspaces = {
        HERE: [f"/clusters/{HERE}", "/clusters/root:here", f"/ranges/root/clusters/{HERE}"],
        ELSEWHERE: [f"/clusters/{ELSEWHERE}", "/clusters/root:elsewhere"],
        MISSING: [f"/clusters/{MISSING}", "/clusters/root:missing", f"/clusters/{OF_NO_RANGE}", f"/ranges/none/clusters/{HERE}"],
    }
    for (name, who), verb, what in product(CALLERS.items(), VERBS, whats):
        if "/" in what and verb in ("list", "watch", "delete", "deletecollection"):
            continue
        for cluster, bases in workspaces.items():
            for base in bases:
                if cluster != MISSING:
                    wanted = in_workspace(who, cluster, verb, what)
                else:
                    # An id is not looked up for kcp's administrators; only masters know all.
                    wanted = ABSENT if who.master or (who.knows and base != f"/clusters/{MISSING}") else NO
                yield name, cluster, base, verb, what, wanted
        for cluster in (HERE, ELSEWHERE, MISSING, OF_NO_RANGE):
            if not who.master or cluster == HERE:
                yield (
                    name,
                    "export view",
                    f"/services/{EXPORT}/clusters/{cluster}",
                    verb,
                    what,
                    in_export(who, cluster, verb, what),
                )
        for cluster in (NEW, HERE, MISSING, OF_NO_RANGE):
            base = f"/services/{WAITING}/clusters/{cluster}"
            if not (who.master and cluster == OF_NO_RANGE):
                yield name, "initializing view", base, verb, what, in_initializing(who, cluster, verb, what)
        if verb in ("list", "watch") and "/" not in what:
            yield name, "range", "/ranges/root/clusters/*", verb, what, across(who, "", verb, what)
            yield name, "no range", "/ranges/none/clusters/*", verb, what, ABSENT if who.master else NO
            yield name, "export view *", f"/services/{EXPORT}/clusters/*", verb, what, across(who, EXPORT, verb, what)


# The world of the model.

ENTER: Object = {"nonResourceURLs": ["/"], "verbs": ["access"]}


def rule(group: str, resource: str, *verbs: str) -> Object:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


async def build(world: World) -> None:
    for cluster, name in ((HERE, "here"), (ELSEWHERE, "elsewhere"), (PROVIDER, "provider"), (TYPES, "types")):
        await world.cluster(cluster, f"root:{name}")
        await world.namespace(cluster, "default")
    asked = [claim("", "configmaps", *CLAIMS["configmaps"]), claim("", "secrets", *VERBS), claim("", "serviceaccounts", "create")]
    await world.export(PROVIDER, claims=asked, maximalPermissionPolicy={"local": {}})
    agreed = [{**accepted(each), "verbs": sorted(CLAIMS[each["resource"]])} for each in asked]
    await world.bind(HERE, "root:provider", "cowboys", claims=agreed)
    prefix = "apis.kcp.io:binding:"
    await world.role(PROVIDER, "readers", rule("wild.west", "*", *READ))
    await world.bind_role(PROVIDER, "readers", "readers", f"{prefix}system:authenticated", group=True)
    await world.role(PROVIDER, "vips", rule("wild.west", "*", "*"))
    await world.bind_role(PROVIDER, "vips", "vips", f"{prefix}vip", group=True)
    content = "apiexports/content"
    await world.role(PROVIDER, "sheriff", ENTER, rule("apis.kcp.io", content, "*"))
    await world.bind_role(PROVIDER, "sheriff", "sheriff", "sheriff")
    await world.role(PROVIDER, "deputy", ENTER, rule("apis.kcp.io", content, *READ))
    await world.bind_role(PROVIDER, "deputy", "deputy", "deputy")

    await world.role(HERE, "member", ENTER, rule("", "configmaps", *READ))
    await world.bind_role(HERE, "member", "member", "member")
    await world.role(HERE, "worker", rule("", "configmaps", "*"))
    await world.bind_role(HERE, "worker", "worker", "outsider", "system:serviceaccount:default:robot")
    for cluster, owner in ((HERE, "admin"), (ELSEWHERE, "rival")):
        await world.bind_role(cluster, "owner", "cluster-admin", owner)
        await world.bind_role(cluster, "vip", "cluster-admin", "vip", group=True)

    await world.put(TYPES, "tenancy.kcp.io", "workspacetypes", {"metadata": {"name": "special"}, "spec": {}})
    await world.role(TYPES, "builder", rule("tenancy.kcp.io", "workspacetypes", "initialize"))
    await world.bind_role(TYPES, "builder", "builder", "builder")
    identifier = f"{TYPES}:special"
    key, value = lifecycle_label(InitializingWorkspaces.label_prefix, identifier)
    await world.cluster(
        NEW,
        owner="olivia",
        metadata={"labels": {"tenancy.kcp.io/phase": "Initializing", key: value}},
        spec={"createdBy": {"username": "olivia", "groups": ["system:authenticated"]}, "initializers": [identifier]},
        status={"phase": "Initializing", "initializers": [identifier]},
    )
    await world.namespace(NEW, "default")
    for cluster, resource in product((HERE, ELSEWHERE, NEW), RESOURCES):
        if resource != "cowboys" or cluster == HERE:
            path = f"/clusters/{cluster}{RESOURCES[resource]}"
            status, answer = await world.call("POST", path, CALLERS["system:masters"].user, body_of(resource))
            assert status == 201, answer
    await world.until(lambda: all_labelled(world))


def all_labelled(world: World) -> bool:
    """Whether the claims show in what is claimed."""
    return all((world.get(HERE, f"core/{each}", "x", "default") or {})["metadata"].get("labels") for each in CLAIMS)


KINDS = {"configmaps": "ConfigMap", "secrets": "Secret", "serviceaccounts": "ServiceAccount", "limitranges": "LimitRange"}


def body_of(what: str) -> Object:
    if what == "serviceaccounts/token":
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    resource = what.partition("/")[0]
    version, kind = ("wild.west/v1", "Cowboy") if resource == "cowboys" else ("v1", KINDS[resource])
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}}


def request_of(who: User, base: str, verb: str, what: str) -> Request:
    resource, _, subresource = what.partition("/")
    path = RESOURCES[resource] if "*" not in base else RESOURCES[resource].replace("/namespaces/default", "")
    if subresource:
        path += f"/x/{subresource}"
    elif verb not in ("list", "watch", "create", "deletecollection"):
        path += "/x"
    methods = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE"}
    method = methods.get(verb, "GET")
    payload = orjson.dumps({} if verb in ("patch", "delete", "deletecollection") else body_of(what)) if method != "GET" else b""

    async def read(limit_bytes: int) -> bytes:
        return payload

    content_type = "application/merge-patch+json" if verb == "patch" else "application/json"
    query = "watch=1" if verb == "watch" else "dryRun=All" if method != "GET" else ""
    return Request(method, f"{base}{path}", query, {"content-type": content_type}, read, user=who)


def meaning(code: int) -> str:
    return NO if code == 403 else ABSENT if code in (404, 405) else YES if code in (200, 201, 409, 422) else str(code)


async def test_everybody_may_do_what_the_model_says_and_nothing_else(tmp_path: Path) -> None:
    async with World() as world:
        tokens = token_request.connectors(TokenIssuer.load(tmp_path / "key"), ServiceAccountLookup(world.host))
        world.host.add_connectors(tokens)
        await build(world)
        wrong: list[str] = []
        count = 0
        for name, place, base, verb, what, wanted in cells():
            count += 1
            reply = await world.pipeline(request_of(CALLERS[name].user, base, verb, what))
            code = reply.status if isinstance(reply, Response) else 200
            if meaning(code) != wanted:
                said = reply.body[:300].decode() if isinstance(reply, Response) else "a stream"
                wrong.append(f"{name} | {place} | {verb} {what} | {base}: {code}, expected {wanted}: {said}")
        assert not wrong, f"{len(wrong)} of {count} cells:\n" + "\n".join(wrong[:200])
        assert count > 5000
