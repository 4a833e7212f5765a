"""The README's commands, run as they stand there, and what it says that they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.support.tools import program
from tools.server import Server

README = Path(__file__).parent.parent.parent / "README.md"
FENCE = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
END_OF_BLOCK = "end of block"


def blocks() -> list[tuple[str, str]]:
    """Each block of commands, and the block of output that follows it (empty where none does)."""
    found: list[tuple[str, str]] = []
    for language, content in FENCE.findall(README.read_text()):
        if language == "bash":
            found.append((content, ""))
        else:
            assert found and not found[-1][1], "output without commands"
            found[-1] = (found[-1][0], content)
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A directory that looks like a checkout with `make start` running."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with Server(tmp_path / ".tenantry"):
        yield tmp_path


def squeezed(line: str) -> str:
    return " ".join(line.split())


def test_commands_print_what_the_readme_says(checkout: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    story = blocks()
    assert len(story) > 8
    script = "".join(f"{commands}echo '{END_OF_BLOCK}'\n" for commands, _ in story)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "TENANTRY_"))}
    environment["HOME"] = str(checkout)
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script,
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split(f"{END_OF_BLOCK}\n")
    for (commands, expected), output in zip(story, printed, strict=False):
        lines = [squeezed(line) for line in output.splitlines()]
        wanted = [squeezed(line).replace(ANYTHING, "*") for line in expected.splitlines()]
        # What is shown is the end of the output: waiting and creating say things of their own.
        shown = lines[-len(wanted) :] if wanted else []
        assert len(shown) == len(wanted) and all(map(fnmatchcase, shown, wanted)), f"{commands}\nprinted\n{output}"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text()):
        assert (README.parent / target).exists(), target
