"""FlowSchemas and priority levels of a workspace, on real processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.people import ACCESS, Person, grant, rule
from tests.support.api import CONFIG_MAPS, Api, Object
from tests.support.waiting import wait_for

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS, LEVELS = f"/apis/{GROUP}/v1/flowschemas", f"/apis/{GROUP}/v1/prioritylevelconfigurations"
SCHEMA_UID, LEVEL_UID = "X-Kubernetes-PF-FlowSchema-UID", "X-Kubernetes-PF-PriorityLevel-UID"


def level(name: str, shares: int, **response: object) -> Object:
    limited = {"nominalConcurrencyShares": shares, "borrowingLimitPercent": 0, "limitResponse": response}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": {"type": "Limited", "limited": limited},
    }


def schema(name: str, of: str, person: Person) -> Object:
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rules = [{"subjects": [{"kind": "User", "user": {"name": person.name}}], "resourceRules": [resources]}]
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {"matchingPrecedence": 100, "priorityLevelConfiguration": {"name": of}, "rules": rules},
    }


def test_they_decide(place: Api, root: Api, unique: Callable[[str], str], person: Callable[[], Person]) -> None:
    """Upstream's e2e test of the two headers, and what a level without seats does to its requests and to no others."""
    someone = person()
    for each in (place, other := root.workspace(unique("place"))):
        grant(each, someone.subject, ACCESS, rule("", "configmaps"))
    asked = place.caller(someone.token)
    before = asked.request("GET", CONFIG_MAPS)
    names = {item["metadata"]["uid"]: item["metadata"]["name"] for item in place.items(SCHEMAS)}
    assert names[before.headers[SCHEMA_UID]] == "global-default"
    made_level = place.create(LEVELS, level("mine", 10, type="Reject"))
    made = place.create(SCHEMAS, schema("mine", "mine", someone))
    after = asked.request("GET", CONFIG_MAPS)
    assert after.headers[SCHEMA_UID] == made["metadata"]["uid"]
    assert after.headers[LEVEL_UID] == made_level["metadata"]["uid"]

    def found() -> bool:
        conditions = (place.get(f"{SCHEMAS}/mine").get("status") or {}).get("conditions") or ()
        return [(each["type"], each["status"]) for each in conditions] == [("Dangling", "False")]

    wait_for(found, "the level is found")
    place.patch(f"{LEVELS}/mine", {"spec": {"limited": {"nominalConcurrencyShares": 0}}})
    refused = asked.request("GET", CONFIG_MAPS)
    assert (refused.status, refused.text) == (429, "Too many requests, please try again later.\n")
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers[LEVEL_UID] == made_level["metadata"]["uid"]
    place.get(CONFIG_MAPS)
    other.caller(someone.token).get(CONFIG_MAPS)


def test_requests_wait_in_queues(place: Api, person: Callable[[], Person]) -> None:
    """A level of one seat serves many requests one after the other, and drops none that has a place in a queue."""
    someone = person()
    grant(place, someone.subject, ACCESS, rule("", "configmaps"))
    queuing = {"queues": 4, "handSize": 2, "queueLengthLimit": 50}
    place.create(LEVELS, level("narrow", 1, type="Queue", queuing=queuing))
    place.create(SCHEMAS, schema("narrow", "narrow", someone))
    asked = place.caller(someone.token)

    def write(number: int) -> int:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}}
        return asked.request("POST", CONFIG_MAPS, body).status

    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(write, range(64))) == {201}
