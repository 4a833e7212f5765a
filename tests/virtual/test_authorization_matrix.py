"""Who may do what, where: each kind of caller, with each verb and subresource, in workspaces, views, ranges and wildcards.

What is expected comes from the model below, a few sets and rules that know nothing of the code which is held against them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from tenantry.apiserver.authentication.authenticator import UnionAuthenticator
from tenantry.apiserver.authentication.service_account_tokens import TokenIssuer
from tenantry.apiserver.endpoints import token_request
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.messages import Response
from tenantry.kube.objects import Object
from tenantry.tenancy.service_account_lookup import ServiceAccountLookup
from tenantry.virtual.lifecycle.initializing_workspaces import InitializingWorkspaces
from tenantry.virtual.lifecycle.lifecycle_view import lifecycle_label
from tenantry.virtual.lifecycle.terminating_workspaces import TerminatingWorkspaces
from tests.support.tenancies import ServedShard, accepted, claim

HERE, ELSEWHERE, PROVIDER, TYPES, NEW, OLD = (
    f"r{name:0<15}" for name in ("here", "elsewhere", "provider", "types", "new", "old")
)
MISSING, OF_NO_RANGE = "rmissing00000000", "zmissing00000000"
EXPORT = f"apiexport/{PROVIDER}/cowboys"
WAITING = f"initializingworkspaces/{TYPES}:special"
ENDING = f"terminatingworkspaces/{TYPES}:special"

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
    "namespaces/status": {"get", "update", "patch"},
    "namespaces/finalize": {"update"},
    "apibindings/status": {"get", "update", "patch"},
    "logicalclusters/status": {"get", "update", "patch"},
}
"""The verbs that each has; no verb: there is none of that name."""
OBJECTS = {
    "namespaces": "/api/v1/namespaces/default",
    "apibindings": "/apis/apis.kcp.io/v1alpha2/apibindings/cowboys",
    "logicalclusters": "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster",
}
"""Objects of which subresources alone are tried."""
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
    terminates: bool = False
    master: bool = False
    knows: bool = False
    by: str = ""
    """Who impersonates it, by headers."""


def caller(name: str, *groups: str, extra: Object | None = None, **more: Any) -> Caller:
    every = (*groups, "system:authenticated") if name != "system:anonymous" else groups
    values = tuple(sorted((key, tuple(each)) for key, each in (extra or {}).items()))
    return Caller(User(name, every, "", values), **more)


def all_in(*clusters: str) -> dict[str, Any]:
    return {"enters": frozenset(clusters), "rights": frozenset((cluster, "*", "*") for cluster in clusters)}


def robot(cluster: str, name: str = "robot", **more: Any) -> Caller:
    groups = ("system:serviceaccounts", "system:serviceaccounts:default")
    extra = {"authentication.kcp.io/cluster-name": [cluster]}
    return caller(f"system:serviceaccount:default:{name}", *groups, extra=extra, **more)


CALLERS = {
    "anonymous": caller("system:anonymous", "system:unauthenticated"),
    "stranger": caller("stranger"),
    "member": caller("member", enters=frozenset({HERE}), rights=frozenset((HERE, verb, "configmaps") for verb in READ)),
    "outsider with rights, who is not let in": caller("outsider"),
    "admin": caller("admin", **all_in(HERE)),
    "admin of elsewhere": caller("rival", **all_in(ELSEWHERE)),
    "service account of here": robot(HERE, enters=frozenset({HERE}), rights=frozenset({(HERE, "*", "configmaps")})),
    "service account of elsewhere": robot(ELSEWHERE, enters=frozenset({ELSEWHERE})),
    "service account of elsewhere with grants by its global name": robot(
        ELSEWHERE,
        "courier",
        enters=frozenset({HERE, ELSEWHERE}),
        rights=frozenset((HERE, verb, "configmaps") for verb in READ),
        content=frozenset(READ),
        initializes=True,
    ),
    "its namesake of here": robot(HERE, "courier", enters=frozenset({HERE})),
    "impersonated here": caller("anybody", "vip", extra={"authentication.kcp.io/scopes": [f"cluster:{HERE}"]}, **all_in(HERE)),
    "vip": caller("someone", "vip", **all_in(HERE, ELSEWHERE)),
    "provider": caller("sheriff", content=frozenset(VERBS)),
    "provider who reads": caller("deputy", content=frozenset(READ)),
    "provider impersonated in the consumer's": caller("sheriff", extra={"authentication.kcp.io/scopes": [f"cluster:{HERE}"]}),
    "initializer": caller("builder", initializes=True),
    "terminator": caller("wrecker", terminates=True),
    "initializer impersonated in the new workspace": caller(
        "builder", extra={"authentication.kcp.io/scopes": [f"cluster:{NEW}"]}
    ),
    "system:kcp:admin": caller("kcp-admin", "system:kcp:admin", knows=True, **all_in(HERE, ELSEWHERE, PROVIDER, TYPES, NEW, OLD)),
    "system:masters": caller("root", "system:masters", master=True, knows=True),
}
IMPERSONATORS = {
    "stranger": ("admin", "sheriff"),
    "member": ("admin",),
    "admin": ("member", "sheriff", "rival"),
    "vip": ("admin", "rival", "builder"),
    "service account of here": ("admin",),
    "provider": ("admin", "deputy"),
    "initializer": ("olivia", "builder", "sheriff"),
    "terminator": ("builder",),
    "system:kcp:admin": ("member", "sheriff", "builder"),
    "system:masters": ("member", "admin", "sheriff", "builder", "stranger"),
}
"""Caller → the names of users whom it says to be."""
NAMED = {who.user.name: who for who in CALLERS.values() if not who.user.extra and not who.user.groups[:-1]}
NAMED["olivia"] = caller("olivia", **all_in(NEW, OLD))
for _by, _users in IMPERSONATORS.items():
    CALLERS |= {f"{_by} as {_name}": replace(NAMED[_name], by=_by) for _name in _users}


SOME_VERBS = ("list", "create", "update")
SOME = ("configmaps", "cowboys", "cowboys/status", "serviceaccounts/token")
"""Of each kind one, for combinations that are decided before the verb and the resource are looked at."""


def acting(who: Caller, cluster: str) -> Caller | None:
    """Whom a caller counts as at a cluster: impersonated by a master, the user; by who may do everything there, the user with its
    rights of there alone; by anybody else, nobody."""
    if not who.by:
        return who
    by = CALLERS[who.by]
    if by.master:
        return who
    if (cluster, "*", "*") not in by.rights:
        return None
    confined = replace(who.user, extra=(("authentication.kcp.io/scopes", (f"cluster:{cluster}",)),))
    rights = frozenset(right for right in who.rights if right[0] == cluster)
    return Caller(confined, who.enters & {cluster}, rights)


YES, NO, ABSENT = "served", "403", "404 or 405"


def exists(what: str, verb: str, *, bound: bool) -> bool:
    resource, _, subresource = what.partition("/")
    if resource in ("cowboys", "apibindings") and not bound:
        return False
    return verb in SUBRESOURCES[what] if subresource else True


def in_workspace(who: Caller, cluster: str, verb: str, what: str) -> str:
    found = exists(what, verb, bound=cluster == HERE)
    if not who.master:
        if what == "apibindings/status":
            return NO
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
        content = set(VERBS) if "system:kcp:admin" in who.user.groups else set(who.content)
        if resource == "apibindings" and cluster == HERE and verb in READ & content:
            return ABSENT
        if cluster != HERE or not claimed or verb not in content:
            return NO
    if resource not in CLAIMS and resource != "cowboys":
        return ABSENT
    return YES if not subresource or (resource == "cowboys" and verb in SUBRESOURCES[what]) else ABSENT


def in_lifecycle(who: Caller, works: bool, waits: str, cluster: str, verb: str, what: str) -> str:
    """`works`: the caller may do the work of the type. `waits`: the cluster that waits for it."""
    if not (works or who.knows):
        return NO
    if what == "logicalclusters/status" and cluster != OF_NO_RANGE:
        # Served by the view itself: those that wait, with that which tells of them.
        return YES if cluster == waits and verb in SUBRESOURCES[what] else ABSENT
    if cluster != waits:
        return NO
    if what == "apibindings/status":
        # As the owner, masters too: it is the system's.
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
        top = CALLERS[who.by] if who.by else who
        if who.by and (verb not in SOME_VERBS or what not in SOME):
            continue
        if "/" in what and verb in ("list", "watch", "delete", "deletecollection"):
            continue
        for cluster, bases in workspaces.items():
            for base in bases:
                if cluster != MISSING:
                    seen = acting(who, cluster)
                    wanted = in_workspace(seen, cluster, verb, what) if seen else NO
                else:
                    # An id is not looked up for kcp's administrators; only masters know all.
                    wanted = ABSENT if top.master or (top.knows and base != f"/clusters/{MISSING}") else NO
                yield name, cluster, base, verb, what, wanted
        starts = ("", "/ranges/root") if verb in SOME_VERBS and what in SOME else ("",)
        for start, cluster in product(starts, (HERE, ELSEWHERE, MISSING, OF_NO_RANGE)):
            if not top.master or cluster == HERE:
                base = f"{start}/services/{EXPORT}/clusters/{cluster}"
                seen = acting(who, cluster)
                yield name, "export view", base, verb, what, in_export(seen, cluster, verb, what) if seen else NO
        for start, cluster in product(starts, (NEW, OLD, HERE, MISSING, OF_NO_RANGE)):
            if not (top.master and cluster == OF_NO_RANGE):
                seen = acting(who, cluster) or Caller(User("", ()))
                base = f"{start}/services/{WAITING}/clusters/{cluster}"
                wanted = in_lifecycle(seen, seen.initializes, NEW, cluster, verb, what)
                yield name, "initializing view", base, verb, what, wanted
                base = f"{start}/services/{ENDING}/clusters/{cluster}"
                wanted = in_lifecycle(seen, seen.terminates, OLD, cluster, verb, what)
                yield name, "terminating view", base, verb, what, wanted
        if verb in ("list", "watch") and "/" not in what:
            # Nobody but masters may impersonate across clusters: there are no rights there.
            seen = who if not who.by or top.master else Caller(User("", ()))
            wanted = ABSENT if who.by and top.master else across(seen, "", verb, what)
            yield name, "range", "/ranges/root/clusters/*", verb, what, wanted
            yield name, "no range", "/ranges/none/clusters/*", verb, what, ABSENT if top.master else NO
            for start in ("", "/ranges/root"):
                yield name, "export view *", f"{start}/services/{EXPORT}/clusters/*", verb, what, across(seen, EXPORT, verb, what)


# The shard of the model.

ENTER: Object = {"nonResourceURLs": ["/"], "verbs": ["access"]}


def rule(group: str, resource: str, *verbs: str) -> Object:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


async def build(shard: ServedShard) -> None:
    for cluster, name in ((HERE, "here"), (ELSEWHERE, "elsewhere"), (PROVIDER, "provider"), (TYPES, "types")):
        await shard.cluster(cluster, f"root:{name}")
        await shard.namespace(cluster, "default")
    asked = [claim("", "configmaps", *CLAIMS["configmaps"]), claim("", "secrets", *VERBS), claim("", "serviceaccounts", "create")]
    await shard.export(PROVIDER, claims=asked, maximalPermissionPolicy={"local": {}})
    agreed = [{**accepted(each), "verbs": sorted(CLAIMS[each["resource"]])} for each in asked]
    await shard.bind(HERE, "root:provider", "cowboys", claims=agreed)
    prefix = "apis.kcp.io:binding:"
    await shard.role(PROVIDER, "readers", rule("wild.west", "*", *READ))
    await shard.bind_role(PROVIDER, "readers", "readers", f"{prefix}system:authenticated", group=True)
    await shard.role(PROVIDER, "vips", rule("wild.west", "*", "*"))
    await shard.bind_role(PROVIDER, "vips", "vips", f"{prefix}vip", group=True)
    content = "apiexports/content"
    await shard.role(PROVIDER, "sheriff", ENTER, rule("apis.kcp.io", content, "*"))
    await shard.bind_role(PROVIDER, "sheriff", "sheriff", "sheriff")
    await shard.role(PROVIDER, "deputy", ENTER, rule("apis.kcp.io", content, *READ))
    await shard.bind_role(PROVIDER, "deputy", "deputy", "deputy")

    await shard.role(HERE, "member", ENTER, rule("", "configmaps", *READ))
    await shard.bind_role(HERE, "member", "member", "member")
    await shard.role(HERE, "worker", rule("", "configmaps", "*"))
    await shard.bind_role(HERE, "worker", "worker", "outsider", "system:serviceaccount:default:robot")
    for cluster, owner in ((HERE, "admin"), (ELSEWHERE, "rival")):
        await shard.bind_role(cluster, "owner", "cluster-admin", owner)
        await shard.bind_role(cluster, "vip", "cluster-admin", "vip", group=True)

    await shard.put(TYPES, "tenancy.kcp.io", "workspacetypes", {"metadata": {"name": "special"}, "spec": {}})
    await shard.role(TYPES, "builder", rule("tenancy.kcp.io", "workspacetypes", "initialize"))
    courier = f"system:kcp:serviceaccount:{ELSEWHERE}:default:courier"
    await shard.bind_role(TYPES, "builder", "builder", "builder", courier)
    await shard.role(TYPES, "wrecker", rule("tenancy.kcp.io", "workspacetypes", "terminate"))
    await shard.bind_role(TYPES, "wrecker", "wrecker", "wrecker")
    await shard.bind_role(HERE, "courier", "member", courier)
    await shard.bind_role(PROVIDER, "courier", "deputy", courier)
    identifier = f"{TYPES}:special"
    key, value = lifecycle_label(InitializingWorkspaces.label_prefix, identifier)
    await shard.cluster(
        NEW,
        owner="olivia",
        metadata={"labels": {"tenancy.kcp.io/phase": "Initializing", key: value}},
        spec={"createdBy": {"username": "olivia", "groups": ["system:authenticated"]}, "initializers": [identifier]},
        status={"phase": "Initializing", "initializers": [identifier]},
    )
    key, value = lifecycle_label(TerminatingWorkspaces.label_prefix, identifier)
    await shard.cluster(
        OLD,
        owner="olivia",
        metadata={
            "labels": {"tenancy.kcp.io/phase": "Terminating", key: value},
            "finalizers": ["kcp.io/has-terminators"],
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
        spec={"createdBy": {"username": "olivia", "groups": ["system:authenticated"]}, "terminators": [identifier]},
        status={"phase": "Terminating", "terminators": [identifier]},
    )
    for cluster in (NEW, OLD):
        await shard.namespace(cluster, "default")
    for cluster, resource in product((HERE, ELSEWHERE, NEW, OLD), RESOURCES):
        if resource != "cowboys" or cluster == HERE:
            path = f"/clusters/{cluster}{RESOURCES[resource]}"
            status, answer = await shard.call("POST", path, CALLERS["system:masters"].user, body_of(resource))
            assert status == 201, answer
    await shard.until(lambda: all_labelled(shard))


def all_labelled(shard: ServedShard) -> bool:
    """Whether the claims show in what is claimed."""
    return all((shard.get(HERE, f"core/{each}", "x", "default") or {})["metadata"].get("labels") for each in CLAIMS)


KINDS = {
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "serviceaccounts": "ServiceAccount",
    "limitranges": "LimitRange",
    "namespaces": "Namespace",
    "apibindings": "APIBinding",
    "logicalclusters": "LogicalCluster",
}


def body_of(what: str) -> Object:
    if what == "serviceaccounts/token":
        return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    resource = what.partition("/")[0]
    if resource in OBJECTS:
        path = OBJECTS[resource].split("/")
        return {"apiVersion": "/".join(path[2:-2]), "kind": KINDS[resource], "metadata": {"name": path[-1]}}
    version, kind = ("wild.west/v1", "Cowboy") if resource == "cowboys" else ("v1", KINDS[resource])
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}}


def request_of(who: Caller, base: str, verb: str, what: str) -> Request:
    resource, _, subresource = what.partition("/")
    path = RESOURCES.get(resource) or OBJECTS[resource]
    if "*" in base:
        path = path.replace("/namespaces/default", "")
    if subresource:
        path += f"/{subresource}" if resource in OBJECTS else f"/x/{subresource}"
    elif verb not in ("list", "watch", "create", "deletecollection"):
        path += "/x"
    methods = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE"}
    method = methods.get(verb, "GET")
    payload = orjson.dumps({} if verb in ("patch", "delete", "deletecollection") else body_of(what)) if method != "GET" else b""

    async def read(limit_bytes: int) -> bytes:
        return payload

    content_type = "application/merge-patch+json" if verb == "patch" else "application/json"
    query = "watch=1" if verb == "watch" else "dryRun=All" if method != "GET" else ""
    headers = {"content-type": content_type}
    if not who.by:
        return Request(method, f"{base}{path}", query, headers, read, user=who.user)
    headers |= {"x-caller": who.by, "impersonate-user": who.user.name}
    return Request(method, f"{base}{path}", query, headers, read)


class ByHeader(UnionAuthenticator):
    """Takes callers at their word."""

    async def authenticate(self, request: Request, cluster: str | None) -> User | None:
        return CALLERS[request.headers["x-caller"]].user


def meaning(code: int) -> str:
    return NO if code == 403 else ABSENT if code in (404, 405) else YES if code in (200, 201, 409, 422) else str(code)


async def test_everybody_may_do_what_the_model_says_and_nothing_else(tmp_path: Path) -> None:
    async with ServedShard(authenticator=ByHeader(anonymous=True)) as shard:
        tokens = token_request.connectors(
            TokenIssuer.load(tmp_path / "key"), ServiceAccountLookup(shard.cell, shard.tenancy.range_map, shard.tenancy.peers)
        )
        shard.connectors.update(tokens)
        await build(shard)
        wrong: list[str] = []
        count = 0
        for name, place, base, verb, what, wanted in cells():
            count += 1
            reply = await shard.pipeline(request_of(CALLERS[name], base, verb, what))
            code = reply.status if isinstance(reply, Response) else 200
            if meaning(code) != wanted:
                said = reply.body[:300].decode() if isinstance(reply, Response) else "a stream"
                wrong.append(f"{name} | {place} | {verb} {what} | {base}: {code}, expected {wanted}: {said}")
        assert not wrong, f"{len(wrong)} of {count} cells:\n" + "\n".join(wrong[:200])
        assert count > 40000
