"""What the tests of syncing run on: a SyncTarget with a tenant above, a server below, and agents between them."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tenantry_syncer.names import STATE_LABEL_PREFIX, Target, downstream_namespace
from tests.e2e.people import ACCESS, Person, grant, rule
from tests.e2e.provider import COWBOYS, GROUP, Provider, cowboy, schema
from tests.support.api import API_BINDINGS, CRDS, Api, Object
from tests.support.holding_proxy import HoldingProxy
from tests.support.waiting import wait_for
from tools.child import Child

SYNC_TARGETS = "/apis/workload.kcp.io/v1alpha1/synctargets"


def kubeconfig(path: Path, server: str, token: str, ca: str = "") -> Path:
    """A kubeconfig for one server. Without `ca`, for one without TLS."""
    cluster: Object = {"server": server, **({"certificate-authority": ca} if ca else {})}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "current-context": "it",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def custom_resource_definition(of: Object) -> Object:
    """The CustomResourceDefinition of an APIResourceSchema."""
    spec = {**of["spec"], "versions": [{**v, "schema": {"openAPIV3Schema": v["schema"]}} for v in of["spec"]["versions"]]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{spec['names']['plural']}.{spec['group']}"},
        "spec": spec,
    }


class Agent(Child):
    """A process `tenantry-sync`."""

    def __init__(self, name: str, folder: Path, above: Path, below: Path, *flags: str) -> None:
        super().__init__(name, folder / f"{name}.log")
        self._command = [
            *(sys.executable, "-m", "tenantry_sync_agent.main", "--target", "edge", "--from", str(above), "--to", str(below)),
            *("--resources", f"cowboys.{GROUP}", "--probe-port", "0", "--lease-seconds", "2", "--heartbeat-seconds", "1"),
            *("--discovery-seconds", "1", "--log-level", "debug", *flags),
        ]

    def start(self) -> Agent:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        return self

    def kill_now(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()


@dataclass(frozen=True)
class Story:
    """`home`: the workspace of the SyncTarget. `tenant`: another one, with cowboys to sync. `below`: the other server, as its
    administrator."""

    home: Api
    tenant: Api
    below: Api
    target: Target
    syncer: Person

    @property
    def namespace(self) -> str:
        """The namespace below of the tenant's `default`."""
        return downstream_namespace(self.target, self.tenant.name, "default")

    @property
    def cowboys_below(self) -> str:
        return f"/apis/{GROUP}/v1/namespaces/{self.namespace}/cowboys"

    def labels(self) -> dict[str, str]:
        return {STATE_LABEL_PREFIX + self.target.key: "Sync"}

    def create(self, name: str, intent: str = "ride") -> Object:
        return self.tenant.create(COWBOYS, cowboy(name, intent, labels=self.labels()))

    def found_below(self, name: str) -> Object | None:
        answer = self.below.request("GET", f"{self.cowboys_below}/{name}")
        return answer.object if answer.status == 200 else None

    def synced(self, name: str, intent: str = "ride") -> Object:
        """Waits until an object is below, as it is above."""

        def look() -> Object | None:
            found = self.found_below(name)
            return found if found is not None and found["spec"] == {"intent": intent} else None

        return wait_for(look, f"{name} is below") or {}

    def report(self, name: str, result: str) -> None:
        """What a controller below does."""
        self.below.patch(f"{self.cowboys_below}/{name}/status", {"status": {"result": result}})

    def result_above(self, name: str) -> str | None:
        found: str | None = (self.tenant.get(f"{COWBOYS}/{name}").get("status") or {}).get("result")
        return found

    def gone(self, name: str) -> bool:
        """Whether an object is gone above and below."""
        return self.tenant.status_of("GET", f"{COWBOYS}/{name}") == 404 and self.found_below(name) is None

    def sync_target(self) -> Object:
        return self.home.get(f"{SYNC_TARGETS}/edge")

    def urls(self, view: str) -> list[str]:
        """Of a view, `syncer` or `upsyncer`: one for each range."""
        found = (self.sync_target().get("status") or {}).get("virtualWorkspaces") or ()
        return [entry[f"{view}URL"] for entry in found]

    def url(self, view: str = "syncer") -> str:
        """Waits until a view serves cowboys in the range of the tenant; its URL there."""

        def look() -> str:
            for found in self.urls(view):
                api = self.home.caller(self.syncer.token).at(f"{found}/clusters/{self.tenant.name}")
                if api.status_of("GET", COWBOYS) == 200:
                    return found
            return ""

        return wait_for(look, "the view serves cowboys")

    def ready(self) -> bool:
        conditions = (self.sync_target().get("status") or {}).get("conditions") or ()
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def story(org: Api, below: Api, syncer: Person, cowboys: Object | None = None) -> Story:
    """Sets all of it up. `org`: a workspace of this test. `cowboys`: their schema, if not as always."""
    provider = Provider.install(org.workspace("provider"), cowboys or schema())
    home, tenant = provider.bind(org.workspace("home")), provider.bind(org.workspace("tenant"))
    made = home.create(
        SYNC_TARGETS, {"apiVersion": "workload.kcp.io/v1alpha1", "kind": "SyncTarget", "metadata": {"name": "edge"}, "spec": {}}
    )
    grant(
        home,
        syncer.subject,
        ACCESS,
        rule("workload.kcp.io", "synctargets", "get", "patch", "sync", resourceNames=["edge"]),
        rule("workload.kcp.io", "synctargets", "list", "watch"),
        rule("workload.kcp.io", "synctargets/status", "patch", resourceNames=["edge"]),
        rule("apis.kcp.io", "apibindings", "list"),
    )
    if below.status_of("GET", f"{CRDS}/cowboys.{GROUP}") == 404:
        below.create(CRDS, custom_resource_definition(schema()))
    wait_for(lambda: below.status_of("GET", f"/apis/{GROUP}/v1/cowboys") == 200, "the type is served below")
    return Story(home, tenant, below, Target(home.name, "edge", made["metadata"]["uid"]), syncer)


def accepting(org: Api, below: Api, syncer: Person, cowboys: Object | None = None) -> Story:
    """The same where the SyncTarget accepts cowboys without an agent."""
    made = story(org, below, syncer, cowboys)
    (bound,) = made.home.get(f"{API_BINDINGS}/cowboys")["status"]["boundResources"]
    resource = {"group": GROUP, "resource": "cowboys", "versions": ["v1"], "state": "Accepted"}
    resource["identityHash"] = bound["schema"]["identityHash"]
    made.home.patch(f"{SYNC_TARGETS}/edge/status", {"status": {"syncedResources": [resource]}})
    return made


class Between:
    """Proxies to both servers, and kubeconfigs that lead through them."""

    def __init__(self, of: Story, folder: Path, external: str) -> None:
        """`external`: the URL that the platform above publishes."""
        self.above = HoldingProxy(external, of.home.ca)
        self.below = HoldingProxy(of.below.origin, of.below.ca)
        self._of = of
        self._folder = folder

    def __enter__(self) -> Between:
        self.above.__enter__()
        self.below.__enter__()
        home, below = self._of.home, self._of.below
        path = home.url.removeprefix(home.origin)
        self._from = kubeconfig(self._folder / "from.kubeconfig", self.above.url + path, self._of.syncer.token)
        path = below.url.removeprefix(below.origin)
        self._to = kubeconfig(self._folder / "to.kubeconfig", self.below.url + path, below.token)
        return self

    def __exit__(self, *error: Any) -> None:
        self.below.__exit__(None, None, None)
        self.above.__exit__(None, None, None)

    def agent(self, name: str = "agent", *flags: str) -> Agent:
        return Agent(name, self._folder, self._from, self._to, *flags)
