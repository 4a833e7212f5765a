"""`docker compose --profile views up` for real: kubectl and informers, while processes of views come, go and die.

`make compose` runs it, after what it says in `test_stack.py`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose_stack import STEP_SECONDS, ComposeStack
from tests.e2e.provider import ALL_COWBOYS, COWBOYS, Provider, cowboy, schema
from tests.support.api import PATCHES, Api
from tests.support.informers import Informers
from tests.support.tools import program
from tests.support.waiting import wait_for

SHARDS = 3
VIEWS = 2
HOST_NAME_LENGTH = 12
"""A container's host name is the beginning of its id, and a process of views has that for a name."""

pytestmark = [pytest.mark.e2e, pytest.mark.client, pytest.mark.timeout(3 * STEP_SECONDS)]


def all_serve(stack: ComposeStack) -> bool:
    names = [container[:HOST_NAME_LENGTH] for container in stack.containers("views")]
    return len(names) == VIEWS and stack.processes_of("apiexport") == dict.fromkeys(names, "serving")


def served(root: Api, name: str) -> tuple[Provider, Api]:
    """A provider and its consumer, which has one object."""
    provider = Provider.install(root.workspace(f"{name}-provider"), schema())
    consumer = provider.bind(root.workspace(f"{name}-consumer"))
    consumer.create(COWBOYS, cowboy("joe", "start"))
    return provider, consumer


def kubeconfig(stack: ComposeStack, file: Path, server: str) -> Path:
    """Of the administrator, for a server."""
    config = stack.kubeconfig()
    config["current-context"] = "shard-base"
    next(cluster["cluster"] for cluster in config["clusters"] if cluster["name"] == "base")["server"] = server
    file.write_text(yaml.safe_dump(config))
    return file


def test_kubectl_reads_a_view_in_processes_that_are_registered(stack: ComposeStack, tmp_path: Path) -> None:
    kubectl = program("kubectl", "it comes with kubernetes-client")
    stack.scale(SHARDS, views=VIEWS)
    wait_for(lambda: all_serve(stack), "both processes are registered")
    provider, consumer = served(stack.root(), "read")
    config = kubeconfig(stack, tmp_path / "kubeconfig", f"{provider.url()}/clusters/*")
    form = "jsonpath={range .items[*]}{.metadata.annotations.kcp\\.io/cluster}|{.metadata.name}{end}"
    command = [kubectl, "--kubeconfig", str(config), "get", "cowboys", "--all-namespaces", "--output", form]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == f"{consumer.name}|joe"
    before = sorted(stack.containers("views"))
    stack.scale(SHARDS - 1)
    assert sorted(stack.containers("views")) == before and all_serve(stack), "without the profile they stay"


def test_another_process_takes_over_and_without_any_requests_come_again(stack: ComposeStack) -> None:
    stack.scale(SHARDS, views=VIEWS)
    wait_for(lambda: all_serve(stack), "both processes are registered")
    provider, consumer = served(stack.root(), "killed")
    view = provider.view()
    assert view.status_of("GET", ALL_COWBOYS) == 200
    first, second = stack.containers("views")
    stack.kill(first)
    assert [view.status_of("GET", ALL_COWBOYS) for _ in range(20)] == [200] * 20, "the other one answers"
    stack.kill(second)
    refused = wait_for(lambda: when_refused(view), "no process answers")
    assert refused.headers.get("Retry-After") == "1"
    assert consumer.get(f"{COWBOYS}/joe"), "tenants do not notice"
    wait_for(lambda: stack.processes_of("apiexport") == {}, "their registrations have ended")
    assert view.status_of("GET", ALL_COWBOYS) == 503, "shards do not take it over after a crash"
    stack.scale(SHARDS, views=VIEWS)
    wait_for(lambda: view.status_of("GET", ALL_COWBOYS) == 200, "the view is served again")
    wait_for(lambda: all_serve(stack), "both processes are registered again")


def when_refused(view: Api) -> Any:
    answer = view.request("GET", ALL_COWBOYS)
    return answer if answer.status == 503 else None


def test_informers_do_not_notice_that_views_move(stack: ComposeStack, informers_binary: Path, tmp_path: Path) -> None:
    stack.stop("views")
    wait_for(lambda: stack.ask("views", "list") == [], "shards serve the views")
    provider, consumer = served(stack.root(), "followed")
    key = f"{consumer.name}|default/joe"
    written: list[str] = []

    def write(value: str) -> None:
        written.append(value)
        change = {"spec": {"intent": value}}
        wait_for(
            lambda: consumer.request("PATCH", f"{COWBOYS}/joe", change, content_type=PATCHES["merge"]).status == 200,
            f"{value} is written",
        )
        wait_for(lambda: informers.caches() == {key: value}, f"the caches show {value}", seconds=60)

    def cut_off() -> None:
        """Watches stay where they began; now they begin anew."""
        (gateway,) = stack.containers("gateway")
        stack.restart(gateway)
        consumer.hang_up()
        stack.scale(SHARDS, views=VIEWS)

    with Informers(informers_binary, kubeconfig(stack, tmp_path / "kubeconfig", provider.api.url)) as informers:
        wait_for(lambda: informers.caches() == {key: "start"}, "the object is in the caches")
        seen, lists = len(informers.events), lists_of(informers)
        write("at-shards")
        stack.scale(SHARDS, views=VIEWS)
        wait_for(lambda: all_serve(stack), "both processes are registered")
        write("still-at-shards")
        cut_off()
        write("in-processes-of-views")
        for number in range(VIEWS):
            stack.kill(stack.containers("views")[number])
            write(f"in-the-other-than-{number}")
            stack.scale(SHARDS, views=VIEWS)
            wait_for(lambda: all_serve(stack), "both processes are registered again")
        stack.stop("views")
        write("at-shards-again")
        assert stack.ask("views", "list") == [], "they gave their views back"
        assert lists_of(informers) == lists, informers.requests
        assert [(event["event"], event["value"]) for event in informers.events[seen:]] == [("update", value) for value in written]


def lists_of(informers: Informers) -> int:
    return sum(request["event"] == "list" for request in informers.requests)
