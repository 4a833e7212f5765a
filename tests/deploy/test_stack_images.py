"""What else runs from the image, beside a stack of docker-compose.yml: a view of a package, and the agent of a SyncTarget.

`make compose` runs it, after what it says in `test_stack.py`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tenantry.cli.main import main
from tests.deploy.compose_stack import STEP_SECONDS, ComposeStack
from tests.e2e.people import Person
from tests.e2e.provider import GROUP
from tests.e2e.syncing import kubeconfig, story
from tests.support.api import CONFIG_MAPS, Api, config_map
from tests.support.tools import program
from tests.support.waiting import wait_for
from tools.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.client, pytest.mark.timeout(3 * STEP_SECONDS)]


def test_a_view_of_a_package_runs_from_the_image_of_its_dockerfile(stack: ComposeStack, tmp_path: Path) -> None:
    docker = program("docker", "it builds the image")
    assert main(["views", "new", "published", "--directory", str(tmp_path / "published")]) == 0
    image = f"{stack.image.rpartition('/')[2]}-published"
    run(docker, "build", "--build-arg", f"TENANTRY={stack.image}", "--tag", image, str(tmp_path / "published"))
    try:
        stack.set(TENANTRY_VIEWS_IMAGE=image, TENANTRY_VIEWS="published")
        stack.scale(2, views=1)
        assert list(stack.processes_of("published").values()) == ["serving"]
        assert stack.processes_of("apiexport") == {}, "shards serve the others"
        root = stack.root()
        place = root.workspace("publisher")
        place.create(CONFIG_MAPS, config_map("open", {"text": "secret"}, labels={"published": "yes"}))
        place.create(CONFIG_MAPS, config_map("shut", {"text": "secret"}))
        # The objects of a range; the shards do not have the package.
        found = root.at(f"{root.origin}/ranges/{range_of(stack, place)}/services/published/clusters/*").items(
            "/api/v1/configmaps"
        )
        assert [(each["metadata"]["name"], each["data"]) for each in found] == [("open", {"text": "..."})]
    finally:
        stack.stop("views", remove=True)
        run(docker, "image", "rm", image)


def test_the_agent_of_a_sync_target_runs_from_the_image(stack: ComposeStack, tmp_path: Path) -> None:
    docker = program("docker", "it runs the agent")
    root = stack.root()
    place = root.workspace("synced")
    synced = story(place, place.workspace("below"), Person("admin", root.token, "system:masters"))
    config = tmp_path / "config"
    config.mkdir()
    (config / "ca.crt").write_bytes(Path(root.ca).read_bytes())
    for name, server in (("above", synced.home.url), ("below", synced.below.url)):
        kubeconfig(config / name, server, root.token, "/config/ca.crt")
    # The agent is an ordinary user.
    for path in (config, *config.iterdir()):
        path.chmod(0o755)
    port = free_port()
    agent = run(
        *(docker, "run", "--detach", "--network", "host", "--read-only", "--volume", f"{config}:/config:ro"),
        *("--env", f"TENANTRY_PROBE_URL=http://127.0.0.1:{port}/readyz", "--entrypoint", "tenantry-sync", stack.image),
        *("--target", "edge", "--from", "/config/above", "--to", "/config/below", "--resources", f"cowboys.{GROUP}"),
        *("--probe-port", str(port)),
    )
    try:
        synced.create("joe")
        synced.synced("joe")
        assert synced.ready()
        wait_for(lambda: run(docker, "inspect", "--format", "{{.State.Health.Status}}", agent) == "healthy", "it is healthy")
        run(docker, "stop", agent)
        assert run(docker, "inspect", "--format", "{{.State.ExitCode}}", agent) == "0"
    finally:
        print(run(docker, "logs", agent))
        run(docker, "rm", "--force", "--volumes", agent)


def range_of(stack: ComposeStack, place: Api) -> str:
    (row,) = stack.ask("resolve", place.name)
    found: str = row["range"]
    return found


def run(*command: str) -> str:
    """What a command printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout.strip()
