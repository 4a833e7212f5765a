"""Rounds of random writes by several clients, and what has to be true whatever they wrote.

Clients write objects of all types with every verb, from sound bodies that are bent, while watches follow the collections.
When the clients rest, each watch has come to what a list shows, pages show the same, and so does a restarted server.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.e2e.fuzzing import Fuzzer
from tests.fuzz.json_mutations import changed
from tests.support.api import CRDS, PATCHES, Answer, Api
from tests.support.random_schemas import random_definition
from tests.support.sound_objects import sound_objects
from tests.support.waiting import wait_for

Object = dict[str, Any]
_NAMES = ("a", "b", "c", "d")
_INITIAL_END = "k8s.io/initial-events-end"
_CUSTOM_TYPES = 4
_HELD = ("test.example/held", "foregroundDeletion", "orphan", "kubernetes")


@dataclass(frozen=True)
class Collection:
    """Where objects of a type are, and a sound object of it."""

    path: str
    sound: Object


def collections() -> list[Collection]:
    """Those of all types that store objects."""
    found = []
    for definition, obj in sound_objects():
        root = f"/apis/{definition.group}" if definition.group else "/api"
        namespace = "/namespaces/default" if definition.namespaced else ""
        found.append(Collection(f"{root}/{definition.storage_version}{namespace}/{definition.plural}", obj))
    return found


def custom_collections(api: Api, dice: random.Random) -> list[Collection]:
    """Those of new types with random schemas."""
    found: list[Collection] = []
    number = 0
    while len(found) < _CUSTOM_TYPES:
        number += 1
        plural = f"kind{number}s"
        definition, sound = random_definition(dice, plural, "random.example")
        answer = api.request("POST", CRDS, definition)
        if answer.status == 201:
            path = f"/apis/random.example/v1/namespaces/default/{plural}"
            wait_for(lambda path=path: api.status_of("GET", path) == 200, f"{path} is served")  # type: ignore[misc]
            found.append(Collection(path, sound))
        else:
            assert answer.status == 422, answer.text
    return found


class Follower:
    """A watch, and the state that its events add up to. `resumed`: it continues a list; else it begins with all objects."""

    def __init__(self, api: Api, path: str, *, resumed: bool) -> None:
        self.path = path
        self.state: dict[str, Object] = {}
        self.events = 0
        self.wrong = ""
        self._api = api
        self._resumed = resumed
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ends.set()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), f"the watch of {self.path} does not end"

    def _run(self) -> None:
        try:
            while not self._ends.is_set():
                self._follow()
        except Exception as error:  # whatever ends the thread is a finding of the round
            self.wrong = f"{self.path}: {type(error).__name__}: {error}"

    def _follow(self) -> None:
        query: dict[str, Any] = {"allowWatchBookmarks": True, "timeoutSeconds": 8}
        state: dict[str, Object] = {}
        last = 0
        if self._resumed:
            answer = self._api.get(self.path)
            state = {item["metadata"]["name"]: bare(item) for item in answer["items"]}
            query["resourceVersion"] = answer["metadata"]["resourceVersion"]
            last = int(answer["metadata"]["resourceVersion"])
            self.state = state
        else:
            query |= {"sendInitialEvents": True, "resourceVersionMatch": "NotOlderThan"}
        initial = not self._resumed
        with self._api.watch(self.path, seconds=30, **query) as watch:
            for event in watch:
                obj, kind = event["object"], event["type"]
                assert kind != "ERROR", event
                version = int(obj["metadata"]["resourceVersion"])
                self.events += 1
                if kind == "BOOKMARK":
                    if _INITIAL_END in (obj["metadata"].get("annotations") or {}):
                        assert initial, "a second end of the initial events"
                        initial, self.state = False, state
                    assert version >= last, f"the bookmark {version} is older than {last}"
                    last = version
                    continue
                if not initial:
                    assert version > last, f"{kind} {version} after {last}"
                    last = version
                name = obj["metadata"]["name"]
                assert (name in state) == (kind != "ADDED"), f"{kind} of {name}, which is there: {name in state}"
                if kind == "DELETED":
                    del state[name]
                else:
                    state[name] = bare(obj)
        assert not initial, "the watch ended within its initial events"


def bare(obj: Object) -> Object:
    """Without the type, which items of a list of a built-in type do not name."""
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


class Client:
    """One client, who knows no rest and no shame."""

    def __init__(self, api: Api, seed: object, places: Sequence[Collection], checked: Callable[[Answer, object], Answer]) -> None:
        self._api = api
        self._dice = random.Random(f"{seed}")
        self._fuzzer = Fuzzer(self._dice.randrange(1 << 30))
        self._places = places
        self._checked = checked
        self.codes: dict[int, int] = {}

    def run(self, requests: int) -> None:
        for _ in range(requests):
            self.one()

    def one(self) -> None:
        dice = self._dice
        place = dice.choice(self._places)
        name = dice.choice((place.sound["metadata"].get("name", "a"), *_NAMES))
        at = f"{place.path}/{name}"
        match dice.randrange(20):
            case 0 | 1 | 2 | 3 | 4:
                self._send("POST", place.path, self._bent({**place.sound, "metadata": {"name": name, "labels": {"n": name}}}))
            case 5 | 6 | 7:
                self._replace(at)
            case 8 | 9 | 10 | 11:
                self._patch(at, place)
            case 12:
                self._apply(at, place, name)
            case 13:
                self._replace(f"{at}/status")
            case 14:
                self._send("PATCH", f"{at}/scale", {"spec": {"replicas": dice.randrange(-1, 5)}}, PATCHES["merge"])
            case 15:
                finalizers = dice.choice(([], [dice.choice(_HELD)], None))
                self._send("PATCH", at, {"metadata": {"finalizers": finalizers}}, PATCHES["merge"])
            case 16 | 17:
                policy = dice.choice(("", "?propagationPolicy=Foreground", "?propagationPolicy=Orphan", "?gracePeriodSeconds=0"))
                self._send("DELETE", at + policy)
            case 18:
                if dice.random() < 0.3:
                    self._send("DELETE", f"{place.path}?labelSelector=n%3D{name}")
                else:
                    query = dice.choice(
                        ("limit=2", "labelSelector=n", f"fieldSelector=metadata.name%3D{name}", "limit=1&continue=x")
                    )
                    self._send("GET", f"{place.path}?{query}")
            case _:
                method, path, body, media_type, accept = self._fuzzer.request()
                if media_type != "application/json" or "workspaces" not in path:
                    self._send(method, path, body, media_type, accept)

    def _send(self, method: str, path: str, body: Any = None, media_type: str = "application/json", accept: str = "") -> Answer:
        headers = {"Accept": accept or self._dice.choice(("application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"))}
        answer = self._api.request(method, path, body, content_type=media_type, headers=headers)
        self._checked(answer, (method, path, body, media_type))
        self.codes[answer.status] = self.codes.get(answer.status, 0) + 1
        return answer

    def _bent(self, obj: Any) -> Any:
        """The object, in half of the cases with some values changed."""
        if self._dice.random() < 0.5:
            return obj
        if self._dice.random() < 0.5:
            return self._fuzzer.mutated(obj)
        return changed(json.loads(json.dumps(obj)), self._dice, self._bytes_changed)

    def _bytes_changed(self, text: bytes) -> bytes:
        out = bytearray(text or b"x")
        out[self._dice.randrange(len(out))] = self._dice.randrange(32, 127)
        return bytes(out)

    def _replace(self, at: str) -> None:
        found = self._api.request("GET", at.removesuffix("/status"))
        if found.status == 200:
            obj = found.object
            if self._dice.random() < 0.4:
                del obj["metadata"]["resourceVersion"]
            self._send("PUT", at, self._bent(obj))

    def _patch(self, at: str, place: Collection) -> None:
        kind = self._dice.choice(("json", "merge", "strategic"))
        if kind == "json":
            patch: Any = self._fuzzer.operations(place.sound)
        else:
            bent = self._bent(place.sound)
            keys = [key for key in bent if key not in ("metadata", "apiVersion", "kind")] if isinstance(bent, dict) else []
            patch = {key: bent[key] for key in keys if self._dice.random() < 0.7}
            patch["metadata"] = {
                "labels": {"n": self._dice.choice(_NAMES), "x": None},
                "annotations": {"t": str(self._dice.random())},
            }
        self._send("PATCH", at, patch, PATCHES[kind])

    def _apply(self, at: str, place: Collection, name: str) -> None:
        query = f"?fieldManager={self._dice.choice(('m', 'n'))}&force={self._dice.choice(('true', 'false'))}"
        body = self._bent({**place.sound, "metadata": {"name": name, "labels": {"n": name}}})
        self._send("PATCH", at + query, body, PATCHES["apply"])


class Arena:
    """A workspace, its collections, and the watches that follow them."""

    def __init__(self, api: Api, places: Sequence[Collection], checked: Callable[[Answer, object], Answer]) -> None:
        self.api = api
        self.places = list(places)
        self._checked = checked
        self.codes: dict[int, int] = {}
        self.events = 0

    def round(self, seed: object, *, clients: int, requests: int, follow: int) -> None:
        """Some clients write; then all watches and all forms of reading agree. `follow`: how many collections are watched."""
        dice = random.Random(f"{seed}")
        watched = dice.sample(self.places, min(follow, len(self.places)))
        followers = [Follower(self.api, place.path, resumed=number % 2 == 0) for number, place in enumerate(watched)]
        try:
            makers = [Client(self.api, f"{seed}-{number}", self.places, self._checked) for number in range(clients)]
            with ThreadPoolExecutor(clients) as pool:
                for done in [pool.submit(maker.run, requests // clients) for maker in makers]:
                    done.result()
            for follower in followers:
                self.comes_to_the_list(follower)
        finally:
            for follower in followers:
                follower.stop()
        for place in dice.sample(self.places, min(8, len(self.places))):
            self.reads_agree(place, dice)
        for follower in followers:
            follower.join()
            assert not follower.wrong, follower.wrong
            self.events += follower.events
        for maker in makers:
            for code, count in maker.codes.items():
                self.codes[code] = self.codes.get(code, 0) + count

    def comes_to_the_list(self, follower: Follower) -> None:
        def equal() -> bool:
            return bool(follower.wrong) or follower.state == self.state(follower.path)

        try:
            wait_for(equal, f"the watch of {follower.path} shows what the list shows", 30)
        except (AssertionError, TimeoutError) as error:
            listed = self.state(follower.path)
            names = {name for name in {*listed, *follower.state} if listed.get(name) != follower.state.get(name)}
            differ = [(follower.state.get(name), listed.get(name)) for name in sorted(names)]
            raise AssertionError(f"{follower.path}: {differ}"[:4000]) from error
        assert not follower.wrong, follower.wrong

    def reads_agree(self, place: Collection, dice: random.Random) -> None:
        """Pages, single reads, and a write of what is read show and change nothing else."""

        def agree() -> bool:
            listed = self.api.get(place.path)
            whole = {item["metadata"]["name"]: bare(item) for item in listed["items"]}
            paged: dict[str, Object] = {}
            query: dict[str, Any] = {"limit": 2}
            while True:
                page = self.api.get(place.path, **query)
                paged |= {item["metadata"]["name"]: bare(item) for item in page["items"]}
                if not page["metadata"].get("continue"):
                    break
                query["continue"] = page["metadata"]["continue"]
            single = {name: bare(self.api.get(f"{place.path}/{name}")) for name in whole}
            return whole == paged == single

        wait_for(agree, f"all ways to read {place.path} agree", 30)
        for name in dice.sample(sorted(self.state(place.path)), min(1, len(self.state(place.path)))):
            self.writes_of_what_is_read_change_nothing(f"{place.path}/{name}")

    def writes_of_what_is_read_change_nothing(self, at: str) -> None:
        before = self.api.request("GET", at)
        if before.status != 200:
            return
        entries = before.object["metadata"].get("managedFields") or ()
        if any(entry["apiVersion"] != before.object["apiVersion"] for entry in entries):
            # An Event of events.k8s.io that is written in the form of the core group loses its managers, as in kube-apiserver.
            return
        answer = self._checked(self.api.request("PUT", at, before.object), ("PUT", at, before.object))
        if answer.status == 200:
            written, read = answer.object, before.object
            assert written["metadata"]["resourceVersion"] == read["metadata"]["resourceVersion"], (at, read, written)
        # What was stored under older rules, or by a status, may be refused in whole; it has to be told why.
        assert answer.status in (200, 400, 403, 409, 413, 422, 429), (at, answer.status, answer.text)

    def state(self, path: str) -> dict[str, Object]:
        return {item["metadata"]["name"]: bare(item) for item in self.api.items(path)}

    def settled(self) -> dict[str, dict[str, Object]]:
        """The state of all collections, when controllers have nothing left to do."""
        last: dict[str, dict[str, Object]] = {}

        def same() -> bool:
            nonlocal last
            before, last = last, {place.path: self.state(place.path) for place in self.places}
            return before == last

        wait_for(same, "the objects rest")
        return last
