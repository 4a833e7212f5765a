"""Checks of who gets in, and of requests that make no sense."""

from __future__ import annotations

from tenantry.apiserver.user import User
from tenantry.cli.view_check.server import ANONYMOUS, MASTER, Events
from tenantry.cli.view_check.tried_place import Failed, Tried, message_of

_REFUSED = (401, 403)
_NONSENSE = ("nothing", "no-such-thing", "root:nothing", "0", "x" * 300)


async def authorization(tried: Tried) -> None:
    """Allowed users get in with discovery, lists and watches; refused ones and unauthenticated ones do not."""
    resources = await tried.listed()
    for user in tried.fixture.allowed:
        for resource in resources:
            answer = await tried.get(tried.root + resource.collection(), user)
            if answer.status != 200:
                raise Failed(f"{user.name}, who is allowed, is answered with {answer.status}: {message_of(answer)}")
    unauthenticated = () if any(user.name == ANONYMOUS.name for user in tried.fixture.allowed) else (ANONYMOUS,)
    for user in (*tried.fixture.refused, *unauthenticated):
        for path in ("/api", "/apis", "/openapi/v3", *(resource.collection() for resource in resources)):
            await _is_refused(tried, user, path)
        for resource in resources:
            await _is_refused(tried, user, resource.path("default" if resource.namespaced else "", "nothing"))
            started = await tried.server.watch(tried.root + resource.collection(), user)
            if isinstance(started, Events):
                await started.stop()
                raise Failed(f"{user.name}, who is refused, may watch {resource.plural}")


async def _is_refused(tried: Tried, user: User, path: str) -> None:
    answer = await tried.get(tried.root + path, user)
    if answer.status not in _REFUSED:
        raise Failed(f"{user.name}, who is refused, gets {path}: {answer.status}")


async def errors(tried: Tried) -> None:
    """No request of the suite was answered with 500, and neither are those for what does not exist."""
    resources = await tried.resources()
    view, arguments = tried.view, tried.arguments
    places = [tried.root]
    for nonsense in _NONSENSE:
        for at in range(len(arguments)):
            changed = "/".join((*arguments[:at], nonsense, *arguments[at + 1 :]))
            places.append(f"/services/{view.name}/{changed}" + (f"/clusters/{tried.cluster}" if view.per_cluster else ""))
    if view.per_cluster:
        places.append("/".join(("/services", view.name, *arguments, "clusters", "nothing")))
    for user in (*tried.fixture.allowed, *tried.fixture.refused, ANONYMOUS, MASTER):
        for place in places:
            for path in ("/api", "/apis", "/nothing"):
                await tried.get(place + path, user)
            for resource in resources:
                await _asked(tried, user, place + resource.collection(), resource.path("default", "nothing"))
    if tried.errors.texts or 500 in tried.server.statuses:
        texts = tried.errors.texts or ["an answer has status 500"]
        raise Failed(f"{len(texts)} errors, the first one: {texts[0]}")


async def _asked(tried: Tried, user: User, collection: str, path: str) -> None:
    await tried.get(collection, user)
    await tried.get(collection, user, query="limit=1")
    started = await tried.server.watch(collection, user)
    if isinstance(started, Events):
        await started.stop()
    await tried.get(collection.rpartition("/")[0] + "/" + path.rpartition("/")[2], user)
