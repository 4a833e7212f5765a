"""Declared views: the page's examples as they stand there, and unmodified clients."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.people import Person
from tests.e2e.provider import COWBOYS, Provider, answer, claim, cowboy, schema
from tests.e2e.readme import README, blocks, follow
from tests.support import kopf
from tests.support.api import API_BINDINGS, CONFIG_MAPS, Api, Object
from tests.support.forms import ONE_PROCESS, Platform, platform
from tests.support.informers import Informers
from tests.support.tools import kubectls, program
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

PAGE = README.parent / "docs" / "declared-views.md"
STORY = "A provider and its consumers"
VIRTUAL_WORKSPACES = "/apis/views.tenantry.dev/v1alpha1/virtualworkspaces"
RESOURCE = {"group": "example.com", "resource": "cowboys"}
CLAIM = claim("", "configmaps")
NAMESPACES = claim("", "namespaces")
CONSUMERS = 12


@pytest.fixture
def checkout(form: str, tmp_path: Path) -> Iterator[Path]:
    """A directory in which the README's commands find the platform."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    with platform(form, tmp_path) as running:
        if form == ONE_PROCESS:
            (folder / ".tenantry").symlink_to(running.access)
        else:
            (folder / ".tenantry").mkdir()
            (folder / ".tenantry" / "admin.kubeconfig").symlink_to(running.kubeconfig)
        yield folder


def test_the_examples_on_the_page(checkout: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    examples = blocks(page=PAGE)
    assert len([output for _, output in examples if output]) == 5
    follow([*blocks(STORY), *examples], checkout)


def virtual_workspace(name: str, **spec: object) -> Object:
    return {
        "apiVersion": "views.tenantry.dev/v1alpha1",
        "kind": "VirtualWorkspace",
        "metadata": {"name": name},
        "spec": {"export": {"name": "cowboys"}, **spec},
    }


@pytest.fixture(scope="module")
def many_ranges(form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[Platform]:
    with platform(form, tmp_path_factory.mktemp("ranges"), shards=2, range_capacity=5, token_file=tokens) as running:
        yield running


@pytest.fixture
def place(many_ranges: Platform, unique: Callable[[str], str]) -> Api:
    """A workspace of this test."""
    return many_ranges.root.workspace(unique("org"))


@pytest.fixture
def provider(place: Api) -> Provider:
    return Provider.install(place.workspace("provider"), schema(), permissionClaims=[CLAIM, NAMESPACES])


@pytest.fixture
def config(many_ranges: Platform, provider: Provider, tmp_path: Path) -> Path:
    path = tmp_path / "provider.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(many_ranges, provider.api)))
    return path


def urls(provider: Provider, name: str) -> list[str]:
    found = provider.api.get(f"{VIRTUAL_WORKSPACES}/{name}").get("status") or {}
    return [endpoint["url"] for endpoint in found.get("endpoints") or ()]


def test_informers_follow_the_urls(place: Api, provider: Provider, config: Path, informers_binary: Path) -> None:
    """client-go's informers, one for each URL of the status, over several ranges."""
    entry = {**RESOURCE, "filter": "object.spec.intent.startsWith('ride')", "show": "{'shown': object.spec.intent + '!'}"}
    provider.api.create(VIRTUAL_WORKSPACES, virtual_workspace("riders", resources=[entry]))
    flags = ("-slices", "virtualworkspaces.v1alpha1.views.tenantry.dev", "-slice", "riders")
    following = (*flags, "-group", "example.com", "-resource", "cowboys", "-field", "shown")
    with Informers(informers_binary, config, *following) as informers:
        expected: dict[str, str] = {}
        consumers = []
        for number in range(CONSUMERS):
            consumer = provider.bind(place.workspace(f"consumer-{number}"))
            consumers.append(consumer)
            consumer.create(COWBOYS, cowboy(f"joe-{number}", f"ride {number}"))
            consumer.create(COWBOYS, cowboy(f"jim-{number}", "rest"))
            expected[f"{consumer.name}|default/joe-{number}"] = f"ride {number}!"
        wait_for(lambda: informers.caches() == expected, "what the view shows is in the caches")
        listed = informers.snapshot()["urls"]
        assert len(listed) >= 3 and sorted(listed) == urls(provider, "riders")
        consumers[0].patch(f"{COWBOYS}/joe-0", {"spec": {"intent": "rest"}})
        consumers[1].patch(f"{COWBOYS}/jim-1", {"spec": {"intent": "ride, too"}})
        del expected[f"{consumers[0].name}|default/joe-0"]
        expected[f"{consumers[1].name}|default/jim-1"] = "ride, too!"
        wait_for(lambda: informers.caches() == expected, "objects come into sight and leave it")

        changed = [{**entry, "show": "{'shown': object.spec.intent + '?'}"}]
        provider.api.patch(f"{VIRTUAL_WORKSPACES}/riders", {"spec": {"resources": changed}})
        expected = {key: value.replace("!", "?") for key, value in expected.items()}
        wait_for(lambda: informers.caches() == expected, "the caches follow the declaration")
        for consumer in consumers:
            consumer.delete(f"{API_BINDINGS}/cowboys")
        wait_for(lambda: informers.snapshot().get("urls") is None, "URLs go with their last consumer")


def test_a_manager_of_controller_runtime(place: Api, provider: Provider, config: Path, controller_binary: Path) -> None:
    """It writes through a declared view that has verbs for that."""
    verbs = ["get", "list", "watch", "patch"]
    entry = {"resource": "configmaps", "labelSelector": {"matchLabels": {"shared": "yes"}}, "verbs": verbs}
    provider.api.create(VIRTUAL_WORKSPACES, virtual_workspace("shared", resources=[entry]))
    consumer = place.workspace("consumer")
    provider.bind(consumer, answer(CLAIM))
    for name, shared in (("open", "yes"), ("shut", "no")):
        metadata = {"name": name, "labels": {"shared": shared}}
        consumer.create(CONFIG_MAPS, {"metadata": metadata, "data": {"wanted": "a"}})
    wait_for(lambda: len(urls(provider, "shared")) == 1)
    (url,) = urls(provider, "shared")
    flags = ("-kind", "ConfigMap", "-field", "data.wanted", "-copy-to", "data.seen")
    with Informers(controller_binary, config, "-url", f"{url}/clusters/{consumer.name}", *flags) as controller:
        wait_for(lambda: consumer.get(f"{CONFIG_MAPS}/open")["data"] == {"wanted": "a", "seen": "a"}, "the data is written")
        assert controller.caches() == {f"{consumer.name}|default/open": "a"}
        assert controller.of("refused") == []
    assert consumer.get(f"{CONFIG_MAPS}/shut")["data"] == {"wanted": "a"}


def test_kubectl(many_ranges: Platform, place: Api, provider: Provider, person: Callable[[], Person], tmp_path: Path) -> None:
    alice = person()
    view = virtual_workspace(
        "keys",
        access={"expression": f"user.name == '{alice.name}'"},
        resources=[{"resource": "configmaps", "show": "{'keys': object.data.map(k, k)}"}],
        counts=[{"group": "usage.example.com", "resource": "mapcounts", "kind": "MapCount", "of": {"resource": "configmaps"}}],
    )
    provider.api.create(VIRTUAL_WORKSPACES, view)
    consumer = place.workspace("consumer")
    provider.bind(consumer, answer(CLAIM))
    wait_for(lambda: len(urls(provider, "keys")) == 1)
    (url,) = urls(provider, "keys")
    config = tmp_path / "kubeconfig"
    config.write_text("apiVersion: v1\nkind: Config\n")

    def command(who: Person) -> list[str]:
        return [
            *((kubectls() or [program("kubectl", "it comes with kubernetes-client")])[-1], "--kubeconfig", str(config)),
            *("--cache-dir", str(tmp_path / "cache" / who.name), "--server", f"{url}/clusters/*"),
            *("--token", who.token, "--certificate-authority", str(place.ca)),
        ]

    def run(*arguments: str, who: Person = alice) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command(who), *arguments], capture_output=True, text=True, timeout=150, check=False)

    names = run("api-resources", "--no-headers").stdout
    assert [line.split()[0] for line in names.splitlines()] == ["configmaps", "mapcounts"]
    assert "keys" not in run("explain", "configmaps").stdout and run("explain", "mapcounts.count").returncode == 0
    with subprocess.Popen([*command(alice), "get", "mapcounts", "--watch"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().split() == ["NAME", "COUNT", "AGE"]
            before = int(process.stdout.readline().split()[1])
            consumer.create(CONFIG_MAPS, {"metadata": {"name": "one"}, "data": {"a": "secret", "b": "secret"}})
            assert int(process.stdout.readline().split()[1]) == before + 1
        finally:
            process.terminate()
    shown = run("get", "configmaps", "-A", "-o", "yaml", "--field-selector", "metadata.name=one").stdout
    assert "keys:" in shown and "secret" not in shown, shown
    assert run("get", "configmaps", "-A", "--chunk-size=1", "-o", "name").stdout.split().count("configmap/one") == 1
    refused = run("get", "configmaps", "-A", "--field-selector", "data.a=secret")
    assert "field label not supported" in refused.stderr, refused.stderr
    bob = person()
    assert "Forbidden" in run("get", "configmaps", "-A", who=bob).stderr
    assert "Forbidden" in run("get", "configmaps", "-A", "--as", alice.name, who=bob).stderr
    assert "Forbidden" in run("get", "configmaps", "-A", "--as", bob.name, who=alice).stderr


def test_kubectl_writes_what_it_sees(place: Api, provider: Provider, person: Callable[[], Person], tmp_path: Path) -> None:
    """Of a built-in type, which it patches with strategic merges, and of a custom one."""
    alice = person()
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    hiding: list[Object] = [
        {"resource": "configmaps", "verbs": verbs, "hiddenFields": ["data.token"]},
        {**RESOURCE, "verbs": verbs, "hiddenFields": ["status.result"]},
    ]
    access = {"expression": f"user.name == '{alice.name}'"}
    provider.api.create(VIRTUAL_WORKSPACES, virtual_workspace("writable", access=access, resources=hiding))
    consumer = place.workspace("consumer")
    provider.bind(consumer, answer(CLAIM))
    token = "hidden from alice"
    consumer.create(CONFIG_MAPS, {"metadata": {"name": "one"}, "data": {"token": token, "colour": "red", "old": "x"}})
    consumer.create(COWBOYS, cowboy("joe", "ride"))
    consumer.patch(f"{COWBOYS}/joe/status", {"status": {"result": token}})
    wait_for(lambda: len(urls(provider, "writable")) == 1)
    (url,) = urls(provider, "writable")
    config, manifest = tmp_path / "kubeconfig", tmp_path / "manifest.yaml"
    config.write_text("apiVersion: v1\nkind: Config\n")
    command = [
        *((kubectls() or [program("kubectl", "it comes with kubernetes-client")])[-1], "--kubeconfig", str(config)),
        *("--cache-dir", str(tmp_path / "cache"), "--server", f"{url}/clusters/{consumer.name}"),
        *("--token", alice.token, "--certificate-authority", str(place.ca)),
    ]

    def run(*arguments: str, code: int = 0) -> str:
        environment = {**os.environ, "KUBE_EDITOR": "sed -i -e s/red/blue/ -e s/ride/rest/"}
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=150, check=False, env=environment)
        assert done.returncode == code, done.stdout + done.stderr
        assert token not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def data() -> Object:
        found: Object = consumer.get(f"{CONFIG_MAPS}/one")["data"]
        return found

    def write(**data: str) -> str:
        manifest.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}))
        return str(manifest)

    run("edit", "configmap", "one")
    assert data() == {"token": token, "colour": "blue", "old": "x"}
    run("edit", "cowboy", "joe")
    joe = consumer.get(f"{COWBOYS}/joe")
    assert (joe["spec"], joe["status"]) == ({"intent": "rest"}, {"result": token})

    run("patch", "configmap", "one", "-p", '{"data": {"old": null, "size": "1"}}')
    run("patch", "configmap", "one", "--type=json", "-p", '[{"op": "add", "path": "/data/shape", "value": "round"}]')
    assert data() == {"token": token, "colour": "blue", "size": "1", "shape": "round"}
    manifest.write_text(run("get", "configmap", "one", "-o", "yaml").replace("round", "square"))
    run("replace", "-f", str(manifest))
    assert data() == {"token": token, "colour": "blue", "size": "1", "shape": "square"}

    assert "missing the kubectl.kubernetes.io/last-applied" in run("apply", "-f", write(colour="green", size="2"))
    # What was applied before, and is not now, goes; what others wrote stays.
    assert "missing" not in run("apply", "-f", write(colour="white"))
    assert data() == {"token": token, "colour": "white", "shape": "square"}
    run("apply", "--server-side", "--force-conflicts", "-f", write(colour="black"))
    assert data() == {"token": token, "colour": "black", "shape": "square"}
    for arguments in (("apply",), ("replace",), ("apply", "--server-side", "--force-conflicts")):
        assert "data.token: Forbidden" in run(*arguments, "-f", write(colour="black", token="guess"), code=1)
    run("label", "cowboy", "joe", "seen=yes")
    assert consumer.get(f"{COWBOYS}/joe")["status"] == {"result": token}
    run("delete", "cowboy", "joe")
    assert consumer.items(COWBOYS) == []


def test_an_operator_on_kopf(place: Api, provider: Provider, config: Path, kopf_program: Path, tmp_path: Path) -> None:
    # kopf begins when it has found the type `namespaces`, whether it lists them or not.
    resources = [{**RESOURCE, "show": "{'shown': object.spec.intent}"}, {"resource": "namespaces", "show": "{}"}]
    provider.api.create(VIRTUAL_WORKSPACES, virtual_workspace("riders", resources=resources))
    consumer = provider.bind(place.workspace("consumer"))
    consumer.create(COWBOYS, cowboy("joe", "ride"))
    wait_for(lambda: len(urls(provider, "riders")) == 1)
    (url,) = urls(provider, "riders")
    document = yaml.safe_load(config.read_text())
    for cluster in document["clusters"]:
        cluster["cluster"]["server"] = f"{url}/clusters/*"
    mine = tmp_path / "view.kubeconfig"
    mine.write_text(yaml.safe_dump(document))
    with kopf.Operator(kopf_program, mine) as operator:
        operator.told(None, consumer.name, "joe", "ride")
        consumer.patch(f"{COWBOYS}/joe", {"spec": {"intent": "rest"}})
        operator.told("MODIFIED", consumer.name, "joe", "rest")
        consumer.create(COWBOYS, cowboy("jim", "ride"))
        operator.told("ADDED", consumer.name, "jim", "ride")
        consumer.delete(f"{COWBOYS}/joe")
        operator.told("DELETED", consumer.name, "joe", "rest")
