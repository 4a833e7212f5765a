"""The view of the schemas that a workspace has bound, where the provider is on the same shard and on another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.provider import Provider, binding, exported, home, schema
from tests.e2e.test_views_two_shards import far_workspace
from tests.support.api import API_BINDINGS, API_EXPORTS, API_RESOURCE_SCHEMAS, Api
from tests.support.forms import platform

pytestmark = pytest.mark.views

DONKEYS, MULES = schema("donkeys", "Donkey"), schema("mules", "Mule")


@pytest.fixture(scope="module")
def root(form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[Api]:
    with platform(form, tmp_path_factory.mktemp("schemas"), shards=2, range_capacity=3, token_file=tokens) as server:
        yield server.root


def test_a_change_of_the_export_reaches_consumers_of_all_shards(root: Api) -> None:
    provider = Provider.install(root.workspace("provider"), DONKEYS, name="donkeys")
    provider.api.create(API_RESOURCE_SCHEMAS, MULES)
    near, (_, far) = root.workspace("near"), far_workspace(root, "far")
    views = [consumer.at(f"/services/apiresourceschema/{consumer.name}") for consumer in (near, far)]
    lists = [view.get(API_RESOURCE_SCHEMAS) for view in views]
    for consumer in (near, far):
        consumer.create(API_BINDINGS, binding(provider.api.name, "donkeys"))
    with ExitStack() as open_watches:
        events = [
            iter(
                open_watches.enter_context(view.watch(API_RESOURCE_SCHEMAS, resourceVersion=found["metadata"]["resourceVersion"]))
            )
            for view, found in zip(views, lists, strict=True)
        ]

        def arrived(kind: str, name: str) -> None:
            for each in events:
                event = next(each)
                assert (event["type"], event["object"]["metadata"]["name"]) == (kind, name)
                assert home(event["object"]) == provider.api.name

        arrived("ADDED", DONKEYS["metadata"]["name"])
        provider.api.patch(f"{API_EXPORTS}/donkeys", {"spec": {"resources": [exported(DONKEYS), exported(MULES)]}})
        arrived("ADDED", MULES["metadata"]["name"])
        provider.api.patch(f"{API_EXPORTS}/donkeys", {"spec": {"resources": [exported(MULES)]}})
        arrived("DELETED", DONKEYS["metadata"]["name"])
        provider.api.delete(f"{API_EXPORTS}/donkeys")
        arrived("DELETED", MULES["metadata"]["name"])
    for view, found in zip(views, lists, strict=True):
        assert view.names(API_RESOURCE_SCHEMAS) == [item["metadata"]["name"] for item in found["items"]]
