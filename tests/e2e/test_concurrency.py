"""Many clients at one time: no write is lost, no name is taken twice, and every watcher is told one and the same story."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import urllib3

from tests.support.api import CONFIG_MAPS, NAMESPACES, PATCHES, WORKSPACES, Api, Object, Refused, config_map
from tests.support.forms import Platform, platform
from tests.support.waiting import wait_for

Key = tuple[str, str]
T = TypeVar("T")
State = dict[Key, str]
END = "the-end"


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """The results of `work(0)` … `work(count - 1)`, all begun together."""
    start = threading.Barrier(count)

    def begin(number: int) -> T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_merge_patches_of_one_object_all_count(place: Api) -> None:
    place.create(CONFIG_MAPS, config_map("one"))
    path = f"{CONFIG_MAPS}/one"

    def patch(number: int) -> str:
        """What refused it."""
        try:
            place.patch(path, {"data": {f"k{number}": "v"}})
        except Refused as refused:
            return str(refused)
        return ""

    assert list(filter(None, at_once(50, patch))) == []
    assert place.get(path)["data"] == {f"k{n}": "v" for n in range(50)}


def test_puts_of_one_version_count_once(place: Api) -> None:
    made = place.create(CONFIG_MAPS, config_map("one"))
    codes = at_once(30, lambda n: place.status_of("PUT", f"{CONFIG_MAPS}/one", {**made, "data": {"by": str(n)}}))
    assert sorted(codes) == [200] + [409] * 29


def test_a_name_is_given_once(place: Api) -> None:
    codes = at_once(50, lambda n: place.status_of("POST", CONFIG_MAPS, config_map("one", {"by": str(n)})))
    assert sorted(codes) == [201] + [409] * 49


def test_a_workspace_is_made_once(place: Api) -> None:
    body: Object = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": "one"}}
    assert sorted(at_once(20, lambda _: place.status_of("POST", WORKSPACES, body))) == [201] + [409] * 19
    assert place.ready("one").names(NAMESPACES) == ["default", "kube-system"]


def test_an_object_is_deleted_once(place: Api) -> None:
    place.create(CONFIG_MAPS, config_map("one"))
    assert sorted(at_once(30, lambda _: place.status_of("DELETE", f"{CONFIG_MAPS}/one"))) == [200] + [404] * 29


def test_generated_names_differ(place: Api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "made-"}}
    assert at_once(50, lambda _: place.status_of("POST", CONFIG_MAPS, body)) == [201] * 50
    assert sum(name.startswith("made-") for name in place.names(CONFIG_MAPS)) == 50


def test_appliers_of_different_fields_do_not_hinder_each_other(place: Api) -> None:
    path = f"{CONFIG_MAPS}/shared"

    def apply(number: int) -> int:
        body = config_map("shared", {f"k{number}": "v"})
        manager = f"manager-{number}"
        return place.status_of("PATCH", path, body, content_type=PATCHES["apply"], fieldManager=manager)

    codes = at_once(30, apply)
    assert sorted(codes) == [200] * 29 + [201]
    found = place.get(path)
    assert found["data"] == {f"k{n}": "v" for n in range(30)}
    assert {m["manager"] for m in found["metadata"]["managedFields"]} == {f"manager-{n}" for n in range(30)}


def test_a_quota_is_used_up_and_never_overdrawn(place: Api) -> None:
    quotas = f"{NAMESPACES}/default/resourcequotas"
    hard = {"count/configmaps": "12"}
    place.create(quotas, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": hard}})
    wait_for(lambda: place.get(f"{quotas}/few").get("status", {}).get("used"), "the quota is counted")
    before = len(place.names(CONFIG_MAPS))
    codes = at_once(40, lambda n: place.status_of("POST", CONFIG_MAPS, config_map(f"c{n}")))
    assert sorted(codes) == [201] * (12 - before) + [403] * (28 + before)
    assert len(place.names(CONFIG_MAPS)) == 12


class Story:
    """What a watcher was told, held against the rules: nothing twice, nothing left out, versions only rise."""

    def __init__(self) -> None:
        self.state: State = {}
        self.version = 0
        self.events: list[tuple[str, str, int]] = []

    def begin(self, items: list[Object], version: str) -> None:
        self.state = {key_of(item): item["metadata"]["resourceVersion"] for item in items}
        self.version = int(version)

    def tell(self, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        key, version = key_of(obj), int(obj["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            assert version >= self.version
            self.version = version
            return
        assert version > self.version, f"{kind} of {key} at {version} after {self.version}"
        assert (key in self.state) == (kind != "ADDED"), f"{kind} of {key}, which {'is' if key in self.state else 'is not'} there"
        self.version = version
        self.events.append((kind, key[1], version))
        if kind == "DELETED":
            del self.state[key]
        else:
            self.state[key] = str(version)


def key_of(obj: Object) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"].get("name", "")


def scribble(api: Api, seed: int, until: threading.Event) -> None:
    """Creates, changes and deletes a few objects at random; an answer that never came is nothing to worry about."""
    dice = random.Random(seed)
    while not until.is_set():
        name = f"c{dice.randrange(12)}"
        match dice.randrange(4):
            case 0:
                api.request("POST", CONFIG_MAPS, config_map(name))
            case 1:
                api.request("DELETE", f"{CONFIG_MAPS}/{name}")
            case _:
                change = {"data": {"n": str(dice.random())}}
                api.request("PATCH", f"{CONFIG_MAPS}/{name}", change, content_type=PATCHES["merge"])


@contextmanager
def scribbling(api: Api, writers: int) -> Iterator[threading.Event]:
    until = threading.Event()
    with ThreadPoolExecutor(writers) as pool:
        running = [pool.submit(scribble, api, seed, until) for seed in range(writers)]
        try:
            yield until
        finally:
            until.set()
        for each in running:
            each.result()


def follow(api: Api, story: Story, seed: int) -> None:
    """An informer: lists, watches from there, and now and then drops the connection and goes on from the version it knows."""
    dice = random.Random(seed)
    listed = api.get(CONFIG_MAPS)
    story.begin(listed["items"], listed["metadata"]["resourceVersion"])
    while ("default", END) not in story.state:
        left = dice.randrange(5, 60)
        with api.watch(CONFIG_MAPS, resourceVersion=story.version, allowWatchBookmarks=True) as watch:
            for event in watch:
                assert event["type"] != "ERROR", event
                story.tell(event)
                left -= 1
                if not left or ("default", END) in story.state:
                    break


def test_watchers_are_told_everything_once_and_in_order(place: Api) -> None:
    stories = [Story() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        with scribbling(place, 6):
            followers = [pool.submit(follow, place, story, seed) for seed, story in enumerate(stories)]
            story = Story()
            listed = place.get(CONFIG_MAPS)
            story.begin(listed["items"], listed["metadata"]["resourceVersion"])
            with place.watch(CONFIG_MAPS, resourceVersion=story.version) as watch:
                for event in watch:
                    story.tell(event)
                    if len(story.events) == 400:
                        break
        place.create(CONFIG_MAPS, config_map(END))
        for each in followers:
            each.result(60)
    present = {key_of(item): item["metadata"]["resourceVersion"] for item in place.items(CONFIG_MAPS)}
    for each_story in stories:
        assert each_story.state == present
    longest = max((s.events for s in stories), key=len)
    for each_story in stories:
        assert longest[-len(each_story.events) :] == each_story.events


def test_pages_are_of_one_version(place: Api) -> None:
    """A writer counts c00, c01, … up one after the other, round by round: at any one moment the numbers never rise from one to
    the next, and differ by one at the most."""
    for number in range(20):
        place.create(CONFIG_MAPS, config_map(f"c{number:02}", {"n": "0"}))
    done = threading.Event()

    def count() -> None:
        turn = 1
        while not done.is_set():
            for number in range(20):
                place.patch(f"{CONFIG_MAPS}/c{number:02}", {"data": {"n": str(turn)}})
            turn += 1

    writer = threading.Thread(target=count)
    writer.start()
    try:
        for _ in range(25):
            found: list[Object] = []
            versions = set()
            query: dict[str, str] = {}
            while True:
                page = place.get(CONFIG_MAPS, limit=3, **query)
                found += page["items"]
                versions.add(page["metadata"]["resourceVersion"])
                if "continue" not in page["metadata"]:
                    break
                query = {"continue": page["metadata"]["continue"]}
            numbers = [int(item["data"]["n"]) for item in found if item["metadata"]["name"].startswith("c")]
            assert len(numbers) == 20
            assert len(versions) == 1
            assert numbers == sorted(numbers, reverse=True)
            assert numbers[0] - numbers[-1] <= 1
    finally:
        done.set()
        writer.join()


def test_informers_over_the_death_of_a_server(form: str, tmp_path: Path) -> None:
    """What was acknowledged is there afterwards, and who goes on from the version they know is told the rest, or to list."""
    with platform(form, tmp_path) as server:
        place = server.root.workspace("place").name
        story, counted = Story(), 0
        for _ in range(2):
            api = server.masters.cluster(place)
            if not story.version:
                listed = api.get(CONFIG_MAPS)
                story.begin(listed["items"], listed["metadata"]["resourceVersion"])
            acknowledged = write_until_killed(server, api, counted)
            assert acknowledged > counted
            server.start()
            api = server.masters.cluster(place)
            counted = int(api.get(f"{CONFIG_MAPS}/counter")["data"]["n"])
            # One more may be there: the one whose answer died with the server.
            assert counted in (acknowledged, acknowledged + 1)
            api.request("DELETE", f"{CONFIG_MAPS}/{END}")
            api.create(CONFIG_MAPS, config_map(END))
            resume(api, story)
            assert story.state == {key_of(item): item["metadata"]["resourceVersion"] for item in api.items(CONFIG_MAPS)}


def write_until_killed(server: Platform, api: Api, counted: int) -> int:
    """Counts up in an object, kills the server amid that, and returns the last number that was acknowledged."""
    api.request("POST", CONFIG_MAPS, config_map("counter", {"n": "0"}))
    reached = threading.Event()
    last = counted
    ended: list[Exception] = []

    def count() -> None:
        nonlocal last
        while True:
            try:
                api.patch(f"{CONFIG_MAPS}/counter", {"data": {"n": str(last + 1)}})
            except (Refused, OSError, urllib3.exceptions.HTTPError) as error:
                ended.append(error)
                return
            last += 1
            if last - counted >= 100:
                reached.set()

    writer = threading.Thread(target=count)
    writer.start()
    wait_for(lambda: reached.is_set() or ended)
    assert not ended
    server.kill()
    writer.join()
    return last


def resume(api: Api, story: Story) -> None:
    """Follows until the object at the end is as it is now."""
    final = api.get(f"{CONFIG_MAPS}/{END}")["metadata"]["resourceVersion"]
    try:
        with api.watch(CONFIG_MAPS, resourceVersion=story.version) as watch:
            for event in watch:
                if event["type"] == "ERROR":
                    assert event["object"]["code"] == 410
                    break
                story.tell(event)
                if story.state.get(("default", END)) == final:
                    return
    except Refused as refused:
        assert refused.answer.status == 410
    listed = api.get(CONFIG_MAPS)
    story.begin(listed["items"], listed["metadata"]["resourceVersion"])
