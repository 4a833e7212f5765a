"""The Dockerfile's promises: stages, nobody is root, pinned packages, no tools in the image, a health check of its own."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)


def stages() -> list[list[tuple[str, str]]]:
    """Instructions by stage, as (name, rest); what stands before the first FROM is stage 0."""
    found: list[list[tuple[str, str]]] = [[]]
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, " ".join(rest.split())))
    return found


def values(stage: int, name: str) -> list[str]:
    return [rest for instruction, rest in stages()[stage] if instruction == name]


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / name).read_text()))


def test_two_stages_on_a_base_that_can_be_chosen() -> None:
    assert len(stages()) == 3
    assert values(0, "ARG")[0].startswith("BASE=python:3.")
    assert values(0, "ARG")[0].endswith("-slim")
    assert values(1, "FROM") == ["${BASE} AS build"]
    assert values(-1, "FROM") == ["${BASE}"]


def test_the_image_runs_nothing_as_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", values(-1, "USER")[-1])
    # What a RUN in the last stage made would be root's, and each is a layer.
    assert values(-1, "RUN") == []
    assert all(copy.startswith("--from=build ") for copy in values(-1, "COPY"))


def test_packages_are_pinned_by_hash() -> None:
    for command in values(1, "RUN"):
        for part in command.split(" && "):
            if re.search(r"pip .*install", part):
                assert "--require-hashes --requirement requirements-" in part or "--no-deps /wheel/" in part
                assert "--no-cache-dir" in part


def test_the_image_has_no_pip() -> None:
    assert any("venv --without-pip /opt/tenantry" in command for command in values(1, "RUN"))


def test_health_check_and_entry_point() -> None:
    assert json.loads(values(-1, "HEALTHCHECK")[0].partition(" CMD ")[2]) == ["tenantry", "probe"]
    assert json.loads(values(-1, "ENTRYPOINT")[0]) == ["tenantry"]


@pytest.mark.parametrize("part", ["requirements-runtime.lock", "requirements-build.lock"])
def test_image_and_tests_have_the_same_versions(part: str) -> None:
    assert pins(part).items() <= pins("requirements.lock").items()


def test_the_runtime_lock_has_all_that_the_product_needs_and_no_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[=<>~!]", text)[0].lower() for text in project["dependencies"]}
    pinned = set(pins("requirements-runtime.lock"))
    assert needed <= pinned
    assert not pinned & {"pytest", "mypy", "ruff", "hypothesis", "grpcio-tools", "hatchling", "kubernetes"}


def test_only_what_the_build_needs_is_sent_to_it() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / path).exists() for path in sent)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= sent
