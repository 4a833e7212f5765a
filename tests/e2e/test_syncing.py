"""`tenantry-sync` between two servers, killed at every request that changes something."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmarks.hostile import kube_apiserver
from tenantry_sync_agent.translation import namespace_object
from tenantry_syncer.names import CONFLICT_PREFIX, STATE_LABEL_PREFIX
from tests.e2e.people import ACCESS, Person, grant, rule
from tests.e2e.provider import COWBOYS, Provider, cowboy
from tests.e2e.syncing import SYNC_TARGETS, Agent, Between, Story, story
from tests.support.api import WORKSPACES, Api
from tests.support.forms import ONE_PROCESS, Platform, platform
from tests.support.holding_proxy import AFTER, BEFORE
from tests.support.tools import missing
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

TENANTRY, KUBERNETES = "tenantry", "kubernetes"


@pytest.fixture(scope="module", params=[TENANTRY, pytest.param(KUBERNETES, marks=pytest.mark.client)])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Api]]:
    """Makes another API server, or a workspace of one: as its administrator."""
    folder = tmp_path_factory.mktemp("below")
    tokens = folder / "tokens.csv"
    tokens.write_text('admin-below,admin-below,1,"system:masters"\n')
    if request.param == TENANTRY:
        with platform(ONE_PROCESS, folder, token_file=tokens) as second:
            names = iter(range(1000))
            yield lambda: second.root.workspace(f"below-{next(names)}")
        return
    if (why := kube_apiserver.missing()) is not None:
        missing(why)
    with kube_apiserver.kube_apiserver(folder, tokens) as kubernetes:
        yield lambda: Api(kubernetes.url, str(kubernetes.ca), "admin-below")


@pytest.fixture
def synced(place: Api, other: Callable[[], Api], person: Callable[[], Person]) -> Story:
    return story(place, other(), person())


@pytest.fixture
def between(synced: Story, server: Platform, tmp_path: Path) -> Iterator[Between]:
    with Between(synced, tmp_path, server.url) as made:
        yield made


def test_down_and_up(synced: Story, between: Between) -> None:
    agent = between.agent().start()
    wait_for(synced.ready, "the SyncTarget is Ready")
    resources = synced.sync_target()["status"]["syncedResources"]
    assert [(each["resource"], each["state"]) for each in resources] == [("cowboys", "Accepted")]
    synced.create("joe")
    synced.synced("joe")
    synced.report("joe", "rode")
    wait_for(lambda: synced.result_above("joe") == "rode", "the status is above")
    synced.tenant.patch(f"{COWBOYS}/joe", {"spec": {"intent": "rest"}})
    synced.synced("joe", "rest")
    assert synced.result_above("joe") == "rode"
    synced.below.patch(f"{synced.cowboys_below}/joe", {"spec": {"intent": "drift"}})
    synced.synced("joe", "rest")
    synced.tenant.delete(f"{COWBOYS}/joe")
    wait_for(lambda: synced.gone("joe"), "joe is gone above and below")
    urls = synced.sync_target()["status"]["virtualWorkspaces"]
    assert between.above.count("GET", "/syncer/.*/cowboys\\?(?!.*watch=)", 200) == len(urls), "each URL is listed once"
    assert agent.stop() == 0


CREATION = [
    ("above", "PATCH", "/cowboys/joe$"),
    ("below", "POST", "/namespaces(\\?|$)"),
    ("below", "POST", "/cowboys"),
]
"""The requests of an object that comes: its finalizer, its namespace below, itself below."""
UPDATE = [("below", "PATCH", "/cowboys/joe")]
REPORT = [("above", "PATCH", "/cowboys/joe/status")]
DELETION = [
    ("below", "DELETE", "/cowboys/joe"),
    ("above", "PATCH", "/cowboys/joe$"),
    ("below", "DELETE", "/namespaces/[^/]*$"),
]


@pytest.mark.one_process("the agent dies, not the platform")
@pytest.mark.parametrize("when", [BEFORE, AFTER])
def test_killed_at_every_request(synced: Story, between: Between, when: str) -> None:
    """An agent is killed at each request in turn, and the next one goes on: nothing is lost, made twice or rolled back."""
    agents = iter(range(100))

    def killed(phase: tuple[str, str, str], change: Callable[[], object]) -> None:
        side, method, path = phase
        with getattr(between, side).holding(method, path, when) as trap:
            agent = between.agent(f"agent-{next(agents)}").start()
            change()
            wait_for(trap.caught.is_set, f"{method} {path} is held {when} the server has it")
            agent.kill_now()

    def nothing() -> None:
        pass

    for number, phase in enumerate(CREATION):
        killed(phase, (lambda: synced.create("joe")) if not number else nothing)
        uid = synced.tenant.get(f"{COWBOYS}/joe")["metadata"]["uid"]
        assert synced.found_below("joe") is None or finalizers(synced, "joe") == [synced.target.finalizer]
    agent = between.agent(f"agent-{next(agents)}").start()
    made = synced.synced("joe")["metadata"]["uid"]
    agent.kill_now()

    killed(UPDATE[0], lambda: synced.tenant.patch(f"{COWBOYS}/joe", {"spec": {"intent": "rest"}}))
    killed(REPORT[0], lambda: synced.report("joe", "first"))
    # While no agent runs, another status comes: it is the one that counts.
    synced.report("joe", "second")
    agent = between.agent(f"agent-{next(agents)}").start()
    synced.synced("joe", "rest")
    wait_for(lambda: synced.result_above("joe") == "second", "the newest status is above")
    agent.kill_now()
    found = synced.found_below("joe")
    assert found is not None and found["metadata"]["uid"] == made, "the object below was made again"
    assert synced.tenant.get(f"{COWBOYS}/joe")["metadata"]["uid"] == uid

    for number, phase in enumerate(DELETION):
        killed(phase, (lambda: synced.tenant.delete(f"{COWBOYS}/joe")) if not number else nothing)
    agent = between.agent(f"agent-{next(agents)}").start()
    wait_for(lambda: synced.gone("joe"), "joe is gone above and below")
    wait_for(lambda: leaving(synced), "the namespace below is deleted")
    agent.kill_now()
    assert between.below.count("POST", "/cowboys", 201) == 1, "made once"
    assert between.below.count("DELETE", "/cowboys/joe", 200, 202) == 1, "deleted once"
    assert between.below.count("POST", "/namespaces$|/namespaces\\?", 201) == 1


def leaving(of: Story) -> bool:
    """Whether the namespace below is gone, or going: kube-apiserver alone has no controller that empties it."""
    answer = of.below.request("GET", f"/api/v1/namespaces/{of.namespace}")
    return answer.status == 404 or "deletionTimestamp" in answer.object["metadata"]


@pytest.mark.one_process("agents change, not the platform")
def test_one_agent_leads(synced: Story, between: Between) -> None:
    """A second agent waits, and takes over: after a kill when the lease has ended, after SIGTERM at once."""
    first, second = between.agent("first").start(), between.agent("second").start()
    wait_for(synced.ready, "the SyncTarget is Ready")
    synced.create("joe")
    synced.synced("joe")
    lease = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/tenantry-sync-{synced.target.key}"

    def leader() -> Agent:
        holder = synced.below.get(lease)["spec"]["holderIdentity"]
        return first if f"-{first.pid}-" in holder else second

    killed = leader()
    other = second if killed is first else first
    killed.kill_now()
    synced.create("ann")
    synced.synced("ann")
    third = between.agent("third").start()
    assert other.stop() == 0
    synced.create("bob")
    synced.synced("bob")
    third.kill_now()
    assert between.below.count("POST", "/cowboys", 201) == 3


def test_a_leader_that_stood_still_writes_nothing(synced: Story, between: Between, server: Platform, tmp_path: Path) -> None:
    """It wakes up when another one leads, with its work in hand."""
    first = between.agent("first").start()
    wait_for(synced.ready, "the SyncTarget is Ready")
    synced.create("joe")
    synced.synced("joe")
    first.signal(signal.SIGSTOP)
    folder = tmp_path / "second"
    folder.mkdir()
    with Between(synced, folder, server.url) as other:
        second = other.agent("second").start()
        for name in ("ann", "bob"):
            synced.create(name)
            synced.synced(name)
        before = [between.above.writes(), between.below.writes()]
        first.signal(signal.SIGCONT)
        wait_for(lambda: "does not lead any more" in first.log.read_text(), "the first one knows that it does not lead")
        synced.create("eve")
        synced.synced("eve")
        assert [between.above.writes(), between.below.writes()] == before
        assert second.stop() == 0
        first.kill_now()


@pytest.mark.one_process("it is about what is below")
def test_what_others_own_is_left_alone(synced: Story, between: Between) -> None:
    foreign = cowboy("joe", "foreign")
    synced.below.create("/api/v1/namespaces", namespace_object(synced.target, synced.tenant.name, "default"))
    synced.below.create(synced.cowboys_below, foreign)
    agent = between.agent().start()
    synced.create("joe")
    synced.create("ann")
    synced.synced("ann")
    note = CONFLICT_PREFIX + synced.target.key

    def annotations() -> dict[str, str]:
        found: dict[str, str] = synced.tenant.get(f"{COWBOYS}/joe")["metadata"]["annotations"]
        return found

    wait_for(lambda: "belongs to others" in annotations().get(note, ""), "the conflict is told above")
    found = synced.found_below("joe")
    assert found is not None and found["spec"] == {"intent": "foreign"} and "labels" not in found["metadata"]
    synced.tenant.delete(f"{COWBOYS}/joe")
    wait_for(lambda: synced.tenant.status_of("GET", f"{COWBOYS}/joe") == 404, "joe is gone above")
    assert synced.found_below("joe") == found
    agent.kill_now()


@pytest.mark.one_process("it is about what the agent finds when it starts")
def test_what_happened_while_no_agent_ran(synced: Story, between: Between) -> None:
    agent = between.agent().start()
    for name in ("joe", "ann", "bob", "eve"):
        synced.create(name)
        synced.synced(name)
    agent.kill_now()
    made = {name: synced.synced(name)["metadata"]["uid"] for name in ("joe", "ann", "bob", "eve")}
    # Deleted by force, made again by force, given to no one, and untouched.
    for name in ("joe", "ann"):
        synced.tenant.delete(f"{COWBOYS}/{name}")
        synced.tenant.patch(f"{COWBOYS}/{name}", {"metadata": {"finalizers": None}})
    synced.create("ann", "again")
    synced.tenant.patch(f"{COWBOYS}/bob", {"metadata": {"labels": dict.fromkeys(synced.labels())}})
    agent = between.agent().start()
    wait_for(lambda: synced.found_below("joe") is None, "joe is gone below")
    wait_for(lambda: synced.found_below("bob") is None, "bob is gone below")
    assert synced.synced("ann", "again")["metadata"]["uid"] != made["ann"], "another object above is another one below"
    assert synced.synced("eve")["metadata"]["uid"] == made["eve"]
    wait_for(lambda: not finalizers(synced, "bob"), "bob is given back")
    assert synced.tenant.get(f"{COWBOYS}/bob")["spec"] == {"intent": "ride"}
    agent.kill_now()


def finalizers(synced: Story, name: str) -> list[str]:
    found: list[str] = synced.tenant.get(f"{COWBOYS}/{name}")["metadata"].get("finalizers") or []
    return found


@pytest.mark.one_process("it is about what comes from below")
def test_objects_from_below(synced: Story, between: Between) -> None:
    """Objects that are labelled below come up, with their status, and go when they go below; also after a kill."""
    rules = [ACCESS, rule("example.com", "cowboys", "create")]
    grant(synced.tenant, synced.syncer.subject, *rules, name="upsync")
    agent = between.agent().start()
    synced.create("joe")
    synced.synced("joe")
    label = {STATE_LABEL_PREFIX + synced.target.key: "Upsync"}
    synced.below.create(synced.cowboys_below, cowboy("lou", "from below", labels=label))
    synced.report("lou", "rode")
    path = f"{COWBOYS}/lou"
    wait_for(
        lambda: synced.result_above("lou") == "rode" if synced.tenant.status_of("GET", path) == 200 else None, "lou is above"
    )
    found = synced.tenant.get(path)
    assert found["spec"] == {"intent": "from below"} and found["metadata"]["labels"] == label
    with between.above.holding("PATCH", "/cowboys/lou", AFTER) as trap:
        synced.below.patch(f"{synced.cowboys_below}/lou", {"spec": {"intent": "changed"}})
        wait_for(trap.caught.is_set, "the change of lou is held")
        agent.kill_now()
    synced.report("lou", "rested")
    synced.below.create(synced.cowboys_below, cowboy("max", "new", labels=label))
    agent = between.agent().start()
    wait_for(lambda: synced.result_above("lou") == "rested", "lou's newest status is above")
    assert synced.tenant.get(path)["spec"] == {"intent": "changed"}
    wait_for(lambda: synced.tenant.status_of("GET", f"{COWBOYS}/max") == 200, "max is above")
    agent.kill_now()
    synced.below.delete(f"{synced.cowboys_below}/lou")
    agent = between.agent().start()
    wait_for(lambda: synced.tenant.status_of("GET", path) == 404, "lou is gone above")
    assert synced.tenant.status_of("GET", f"{COWBOYS}/max") == 200
    assert between.above.count("POST", "/upsyncer/.*/cowboys", 201) == 2
    agent.kill_now()


@pytest.mark.one_process("it is about what the agent does")
def test_a_deleted_sync_target_gives_everything_back(synced: Story, between: Between) -> None:
    agent = between.agent().start()
    for name in ("joe", "ann"):
        synced.create(name)
        synced.synced(name)
    path = f"{SYNC_TARGETS}/edge"
    wait_for(lambda: synced.sync_target()["metadata"].get("finalizers"), "the agent has its finalizer on the SyncTarget")
    synced.home.delete(path)
    wait_for(lambda: synced.home.status_of("GET", path) == 404, "the SyncTarget is gone")
    for name in ("joe", "ann"):
        assert synced.found_below(name) is None and not finalizers(synced, name)
        assert synced.tenant.get(f"{COWBOYS}/{name}")["spec"] == {"intent": "ride"}
    agent.kill_now()


def test_tenants_of_several_ranges(
    many_ranges: Platform, other: Callable[[], Api], person: Callable[[], Person], tmp_path: Path
) -> None:
    """Ranges open while the agent runs, and what is in them is synced."""
    org = many_ranges.root.workspace("org")
    synced = story(org, other(), person())
    with Between(synced, tmp_path, many_ranges.url) as between:
        agent = between.agent().start()
        provider = Provider(org.cluster(org.get(f"{WORKSPACES}/provider")["spec"]["cluster"]), "cowboys")
        before = len(synced.sync_target()["status"]["virtualWorkspaces"])
        tenants = [provider.bind(org.workspace(f"tenant-{number}")) for number in range(8)]
        for number, tenant in enumerate(tenants):
            tenant.create(COWBOYS, cowboy(f"cowboy-{number}", labels=synced.labels()))
        for number, tenant in enumerate(tenants):
            one = replace(synced, tenant=tenant)
            one.synced(f"cowboy-{number}")
            one.report(f"cowboy-{number}", "rode")
        for number, tenant in enumerate(tenants):
            one = replace(synced, tenant=tenant)
            wait_for(partial(has_result, one, f"cowboy-{number}", "rode"), "the status is above")
        assert len(synced.sync_target()["status"]["virtualWorkspaces"]) > before
        # The platform above crashes, and the agent goes on when it is back.
        many_ranges.kill()
        many_ranges.start()
        for number, tenant in enumerate(tenants):
            tenant.patch(f"{COWBOYS}/cowboy-{number}", {"spec": {"intent": "rest"}})
        for number, tenant in enumerate(tenants):
            replace(synced, tenant=tenant).synced(f"cowboy-{number}", "rest")
        assert between.below.count("POST", "/cowboys", 201) == len(tenants)
        assert agent.stop() == 0


def has_result(of: Story, name: str, result: str) -> bool:
    return of.result_above(name) == result
