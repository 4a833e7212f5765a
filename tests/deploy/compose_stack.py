"""docker-compose.yml on a Docker engine, as a user runs it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.api import Api
from tools.ports import free_port

FILE = Path(__file__).parents[2] / "docker-compose.yml"
PROFILE = ("--profile", "views")
"""With it Docker Compose knows the processes of views; `up` without it leaves them alone."""
STEP_SECONDS = 600.0


class ComposeStack:
    """A context manager. Images come from where the file says, unless the environment names others (docs/operations.md)."""

    def __init__(self, docker: str, directory: Path, **settings: str) -> None:
        self._docker = docker
        self._directory = directory
        project = f"tenantry-test-{os.getpid()}"
        # Under a name of its own: who builds `tenantry` anew has the containers of each stack that uses it replaced.
        self._built = project if "TENANTRY_IMAGE" not in os.environ else None
        self._environment = {
            "TENANTRY_IMAGE": project,
            **os.environ,
            "COMPOSE_PROJECT_NAME": project,
            "TENANTRY_PORT": str(free_port()),
            "TENANTRY_GATEWAY_PORT": str(free_port()),
            **settings,
        }

    def __enter__(self) -> ComposeStack:
        try:
            self.scale(1, *(["--build"] if self._built is not None else []))
            # From now on, since a container's log goes with it.
            command = [self._docker, "compose", "--file", str(FILE), *PROFILE, "logs", "--no-color", "--timestamps", "--follow"]
            with (self._directory / "log").open("wb") as log:
                self._log = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        # It ends by itself when nothing is left to follow.
        self._log.wait(STEP_SECONDS)

    def compose(self, *arguments: str) -> str:
        """Runs `docker compose`; what it printed."""
        done = subprocess.run(
            [self._docker, "compose", "--file", str(FILE), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr[-3000:]}"
        return done.stdout

    def scale(self, shards: int, *options: str, views: int | None = None) -> ComposeStack:
        """Returns when so many shards, and all else, are healthy. `views`: processes of views; None: as many as before."""
        profile, more = ((), ()) if views is None else (PROFILE, ("--scale", f"views={views}"))
        self.compose(*profile, "up", *options, "--detach", "--wait", "--scale", f"shard={shards}", *more)
        return self

    def stop(self, service: str, *, remove: bool = False) -> None:
        """Returns when its containers have ended in order."""
        self.compose(*PROFILE, "stop", service)
        if remove:
            self.compose(*PROFILE, "rm", "--force", service)

    def set(self, **settings: str) -> None:
        """Variables of docker-compose.yml, for what is started from now on."""
        self._environment.update(settings)

    @property
    def image(self) -> str:
        return self._environment["TENANTRY_IMAGE"]

    def down(self) -> None:
        self.compose(*PROFILE, "down", "--volumes", "--timeout", "5")
        if self._built is not None:
            subprocess.run([self._docker, "image", "rm", self._built], capture_output=True, check=False)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    def kill(self, container: str) -> None:
        """As a crash would, but that Docker takes it for a wish and does not restart it; `scale` does."""
        subprocess.run([self._docker, "kill", "--signal", "KILL", container], check=True, capture_output=True)

    def restart(self, container: str) -> None:
        """Without giving it time to end in order."""
        subprocess.run([self._docker, "restart", "--time", "0", container], check=True, capture_output=True)

    def ask(self, *command: str) -> Any:
        """What a command says in JSON, run beside the gateway."""
        return json.loads(self.compose("exec", "-T", "gateway", "tenantry", *command, "--output", "json"))

    def processes_of(self, view: str) -> dict[str, str]:
        """The state of each process of a view, by its name."""
        return {row["process"]: row["state"] for row in self.ask("views", "list") if row["view"] == view and row["process"]}

    def kubeconfig(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.compose("exec", "-T", "gateway", "tenantry", "kubeconfig"))
        return found

    def root(self) -> Api:
        """The workspace `root`, as system:masters."""
        document = self.kubeconfig()
        cluster = next(c["cluster"] for c in document["clusters"] if c["name"] == "root")
        token = next(u["user"]["token"] for u in document["users"] if u["name"] == "shard-admin")
        ca = self._directory / "ca.crt"
        ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        return Api(cluster["server"], str(ca), token)
