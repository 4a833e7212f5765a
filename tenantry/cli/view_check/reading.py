"""Checks of reads: discovery, lists, selectors, pages, tables and metadata."""

from __future__ import annotations

from urllib.parse import quote

from tenantry.cli.view_check.tried_place import (
    Failed,
    ObjectPlace,
    Resource,
    Skipped,
    Tried,
    by_place,
    difference,
    message_of,
    place_of,
)
from tenantry.kube.objects import Object

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_WRITES = {"create": "POST", "deletecollection": "DELETE"}
_WRITES_OF_OBJECTS = {"update": "PUT", "patch": "PATCH", "delete": "DELETE"}


async def discovery(tried: Tried) -> None:
    """Discovery and OpenAPI have the types of `apis` with their verbs, and the verbs are those that are served."""
    found = await tried.resources()
    wanted = {(each.group, each.plural) for each in tried.view.apis(tried.place)}
    served = {(each.api_version.rpartition("/")[0], each.plural) for each in found}
    if wanted != served:
        raise Failed(f"discovery has {sorted(served)}, and `apis` returns {sorted(wanted)}")
    index = await tried.get(f"{tried.root}/openapi/v3")
    if index.status != 200:
        raise Failed(f"/openapi/v3 is answered with {index.status}: {message_of(index)}")
    for resource in found:
        await _described(tried, resource, index.body["paths"])
        await _verbs(tried, resource)


async def _described(tried: Tried, resource: Resource, documents: Object) -> None:
    if resource.base.removeprefix("/") not in documents:
        raise Failed(f"OpenAPI has no document for {resource.base}")
    document = await tried.get(f"{tried.root}/openapi/v3{resource.base}")
    if document.status != 200 or not any(path.endswith(f"/{resource.plural}") for path in document.body["paths"]):
        raise Failed(f"the OpenAPI document of {resource.base} does not have {resource.plural}")


async def _verbs(tried: Tried, resource: Resource) -> None:
    collection = tried.root + resource.collection("default" if resource.namespaced else "")
    methods = {verb: (method, collection) for verb, method in _WRITES.items()}
    methods |= {verb: (method, f"{collection}/nothing") for verb, method in _WRITES_OF_OBJECTS.items()}
    for verb, (method, path) in methods.items():
        if verb in resource.verbs:
            continue
        answer = await tried.server.call(method, path, tried.user, {})
        if answer.status not in (403, 404, 405):
            raise Failed(f"{resource.plural} do not have the verb {verb}, but {method} is answered with {answer.status}")


async def lists(tried: Tried) -> None:
    """The allowed users see something, and `get` gives what `list` gives."""
    seen = 0
    for resource in await tried.listed():
        for place in tried.places:
            items = await tried.items(place + resource.collection())
            again = await tried.items(place + resource.collection())
            if wrong := difference(by_place(items), by_place(again)):
                raise Failed(f"two lists of {resource.plural} differ: {wrong}")
            seen += len(items)
            if place == tried.root and "get" in resource.verbs:
                await _gets(tried, resource, items)
    if not seen:
        raise Failed("the fixture has no object that its first allowed user sees")


async def _gets(tried: Tried, resource: Resource, items: list[Object]) -> None:
    for item in items:
        _, namespace, name = place_of(item)
        path = tried.root + resource.path(namespace, name)
        answer = await tried.get(path)
        if answer.status != 200:
            raise Failed(f"a list has {name}, and GET {path} is answered with {answer.status}: {message_of(answer)}")
        if wrong := difference(by_place([item]), by_place([answer.body])):
            raise Failed(f"list and get differ: {wrong}")


async def label_selectors(tried: Tried) -> None:
    """A list with a label selector has the objects whose shown labels match."""
    tested = False
    for resource in await tried.listed():
        for place in tried.places:
            path = place + resource.collection()
            items = await tried.items(path)
            labels = [item["metadata"].get("labels") or {} for item in items]
            for key, value in sorted({pair for each in labels for pair in each.items()}):
                for selector, matches in ((f"{key}={value}", True), (f"{key}!={value}", False)):
                    found = await tried.items(path, query=f"labelSelector={quote(selector)}")
                    wanted = [i for i, own in zip(items, labels, strict=True) if (own.get(key) == value) is matches]
                    if wrong := difference(by_place(wanted), by_place(found)):
                        raise Failed(f"{resource.plural} with the label selector {selector}: {wrong}")
                tested = True
    if not tested:
        raise Skipped("no object that the first allowed user sees has labels")


async def field_selectors(tried: Tried) -> None:
    """A list with a field selector has the objects whose shown name and namespace match."""
    for resource in await tried.listed():
        for place in tried.places:
            path = place + resource.collection()
            items = await tried.items(path)
            for field in ("name", "namespace") if resource.namespaced else ("name",):
                for value in sorted({item["metadata"].get(field, "") for item in items}):
                    found = await tried.items(path, query=f"fieldSelector=metadata.{field}={quote(value)}")
                    wanted = [item for item in items if item["metadata"].get(field, "") == value]
                    if wrong := difference(by_place(wanted), by_place(found)):
                        raise Failed(f"{resource.plural} with metadata.{field}={value}: {wrong}")


async def paging(tried: Tried) -> None:
    """The pages of a list have what the list had when the first page was read, in the same order."""
    tested = False
    later = await tried.later()
    for resource in await tried.listed():
        for place in tried.places:
            whole = [place_of(item) for item in await tried.items(place + resource.collection())]
            if len(whole) < 2:
                continue
            tested = True
            first, token = await _page(tried, place, resource, "")
            # What comes between two pages belongs to neither.
            for given in later:
                await tried.create(given)
            pages = first
            while token and len(pages) <= len(whole):
                page, token = await _page(tried, place, resource, token)
                pages += page
            for given in reversed(later):
                await tried.delete(given)
            if pages != whole:
                raise Failed(f"the list of {resource.plural} has {len(whole)} objects, and its pages {len(pages)}, or others")
    if not tested:
        raise Skipped("the first allowed user sees no two objects of one type")


async def _page(tried: Tried, place: str, resource: Resource, token: str) -> tuple[list[ObjectPlace], str]:
    """The objects of a page, and the token of the next one; empty if there is none."""
    query = f"limit=1&continue={quote(token)}" if token else "limit=1"
    answer = await tried.get(place + resource.collection(), query=query)
    if answer.status != 200:
        raise Failed(f"a page of {resource.plural} is answered with {answer.status}: {message_of(answer)}")
    return [place_of(item) for item in answer.body["items"]], answer.body["metadata"].get("continue") or ""


async def tables(tried: Tried) -> None:
    """A table has a row for each object of the list."""
    for resource in await tried.listed():
        for place in tried.places:
            path = place + resource.collection()
            items = await tried.items(path)
            answer = await tried.get(path, accept=TABLE)
            if answer.status != 200 or answer.body.get("kind") != "Table":
                raise Failed(f"a table of {resource.plural} is answered with {answer.status}: {message_of(answer)}")
            columns = len(answer.body["columnDefinitions"])
            if any(len(row["cells"]) != columns for row in answer.body["rows"]):
                raise Failed(f"a table of {resource.plural} has rows with another number of cells than {columns}")
            rows = [row["object"]["metadata"] for row in answer.body["rows"]]
            if wrong := _other_metadata(items, rows):
                raise Failed(f"a table of {resource.plural}: {wrong}")


async def partial_metadata(tried: Tried) -> None:
    """PartialObjectMetadata is the metadata of the objects of the list."""
    for resource in await tried.listed():
        for place in tried.places:
            path = place + resource.collection()
            items = await tried.items(path)
            answer = await tried.get(path, accept=METADATA)
            if answer.status != 200:
                raise Failed(f"the metadata of {resource.plural} is answered with {answer.status}: {message_of(answer)}")
            if wrong := _other_metadata(items, [item["metadata"] for item in answer.body["items"]]):
                raise Failed(f"the metadata of {resource.plural}: {wrong}")


def _other_metadata(items: list[Object], found: list[Object]) -> str:
    wanted = by_place([{"metadata": item["metadata"]} for item in items])
    return difference(wanted, by_place([{"metadata": each} for each in found]))
