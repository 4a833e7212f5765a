"""docker-compose.yml: what it promises, and that Docker Compose understands it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantry.cli.commands import parser
from tests.deploy.environment import unknown_variables
from tests.support.tools import program

PATH = Path(__file__).parents[2] / "docker-compose.yml"
PROCESSES = {"registry", "shard", "gateway", "views"}


@cache
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(PATH.read_text())["services"]
    return found


def test_services() -> None:
    assert set(services()) == {"volume", "etcd", *PROCESSES}


@pytest.mark.parametrize("name", ["volume", "etcd", *sorted(PROCESSES)])
def test_hardening(name: str) -> None:
    service = services()[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", ["etcd", *sorted(PROCESSES)])
def test_life(name: str) -> None:
    service = services()[name]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["depends_on"]
    assert all(on["condition"] in ("service_healthy", "service_completed_successfully") for on in service["depends_on"].values())
    assert service["logging"]["options"]["max-size"]


def test_the_image_is_built_once() -> None:
    assert [name for name, service in services().items() if "build" in service] == ["volume"]
    assert all(services()[name]["pull_policy"] == "never" for name in PROCESSES)


def test_shards_can_be_any_number() -> None:
    shard = services()["shard"]
    assert not {"container_name", "hostname", "ports", "volumes"} & set(shard)


def test_views_have_a_profile_of_their_own() -> None:
    assert {name: service["profiles"] for name, service in services().items() if "profiles" in service} == {"views": ["views"]}


def test_only_the_gateway_is_reached_from_outside() -> None:
    networks = yaml.safe_load(PATH.read_text())["networks"]
    assert networks["inside"]["internal"] is True
    for name, service in services().items():
        if name == "gateway":
            assert all(port.startswith("${TENANTRY_ADDRESS:-127.0.0.1}:") for port in service["ports"])
        else:
            assert "ports" not in service
            assert service.get("networks") == ["inside"] or service["network_mode"] == "none"


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_commands_and_settings_exist(name: str) -> None:
    service = services()[name]
    assert service["command"] == [name]
    assert parser().parse_args(service["command"])
    assert unknown_variables(name, service["environment"]) == []


def override() -> dict[str, Any]:
    """The example of a docker-compose.override.yml in the documents."""
    page = (PATH.parent / "docs" / "operations.md").read_text()
    fence = re.search(r"```yaml\n(services:\n.*?)```", page, re.DOTALL)
    assert fence is not None
    found: dict[str, Any] = yaml.safe_load(fence[1])
    # The page says: with the same for `views`.
    found["services"]["views"] = found["services"]["shard"]
    return found


@pytest.mark.parametrize("name", ["shard", "views"])
def test_the_override_lets_it_call_webhooks_and_read_files(name: str) -> None:
    """Compose joins the lists and the mappings of both files."""
    networks = yaml.safe_load(PATH.read_text())["networks"]
    more = override()["services"][name]
    assert set(more) == {"networks", "environment", "volumes"}
    joined = {*services()[name]["networks"], *more["networks"]}
    assert "inside" in joined, "it still reaches etcd, and is reached by the gateway"
    assert any(not networks[each].get("internal") for each in joined), "it reaches others"
    assert unknown_variables(name, more["environment"]) == []
    ((source, target, mode),) = (volume.split(":") for volume in more["volumes"])
    assert source.startswith("./") and mode == "ro"
    assert all(value.startswith(f"{target}/") for value in more["environment"].values())
    assert not any(place.startswith(target) for place in services()[name].get("tmpfs", []))


@pytest.mark.client
def test_compose_joins_the_override(tmp_path: Path) -> None:
    docker = with_compose()
    (tmp_path / "override.yml").write_text(yaml.safe_dump(override()))
    found = understood_by(docker, "--file", str(tmp_path / "override.yml"), "--profile", "views")["services"]
    for name in ("shard", "views"):
        assert set(found[name]["networks"]) == {"inside", "outside"}
        assert found[name]["environment"]["TENANTRY_ETCD_SERVERS"] == "http://etcd:2379"
        assert [volume["target"] for volume in found[name]["volumes"]] == ["/etc/tenantry"]
        assert found[name]["read_only"] is True
    assert set(found["registry"]["networks"]) == {"inside"}


@pytest.mark.client
def test_compose_understands_it() -> None:
    docker = with_compose()
    understood = understood_by(docker)
    assert set(understood["services"]) == set(services()) - {"views"}, "it has a profile of its own"
    gateway = understood["services"]["gateway"]
    assert [(p["host_ip"], p["published"], p["target"]) for p in gateway["ports"]] == [
        ("127.0.0.1", "6443", 6443),
        ("127.0.0.1", "6444", 6444),
    ]
    assert gateway["environment"]["TENANTRY_EXTERNAL_URL"] == "https://localhost:6443"
    assert {service["image"] for name, service in understood["services"].items() if name != "etcd"} == {"tenantry"}


@pytest.mark.client
def test_processes_of_views_may_have_an_image_of_their_own() -> None:
    docker = with_compose()
    found = understood_by(docker, "--profile", "views", TENANTRY_IMAGE="here/tenantry", TENANTRY_VIEWS_IMAGE="here/notes")
    images = {name: service["image"] for name, service in found["services"].items() if name != "etcd"}
    assert images == {**dict.fromkeys(("volume", "registry", "shard", "gateway"), "here/tenantry"), "views": "here/notes"}
    found = understood_by(docker, "--profile", "views", TENANTRY_IMAGE="here/tenantry")
    assert found["services"]["views"]["image"] == "here/tenantry"


def with_compose() -> str:
    """The path of docker, which has the plug-in compose."""
    docker = program("docker", "it reads docker-compose.yml")
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose plug-in")
    return docker


def understood_by(docker: str, *flags: str, **variables: str) -> dict[str, Any]:
    """The file as Docker Compose reads it, without a complaint."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TENANTRY_", "ETCD_", "COMPOSE_"))}
    command = [docker, "compose", "--file", str(PATH), *flags, "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=True, env={**environment, **variables})
    assert done.stderr == b""
    found: dict[str, Any] = json.loads(done.stdout)
    return found
