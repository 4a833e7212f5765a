"""The commands of the README and of other pages, and what these say that they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

README = Path(__file__).parent.parent.parent / "README.md"
FENCE = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"
END_OF_BLOCK = "end of block"

Block = tuple[str, str]
"""Commands, and the output that follows them (empty where none does)."""


def blocks(section: str = "", page: Path = README) -> list[Block]:
    """Those of the whole page, or of the section with this heading."""
    text = page.read_text()
    if section:
        (text,) = re.findall(rf"^## {re.escape(section)}$(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    found: list[Block] = []
    for language, content in FENCE.findall(text):
        if language == "bash":
            found.append((content, ""))
        else:
            assert found and not found[-1][1], "output without commands"
            found[-1] = (found[-1][0], content)
    return found


def follow(story: Sequence[Block], directory: Path) -> None:
    """Runs the commands one after the other in one shell. Raises AssertionError where one fails or prints something else."""
    script = "".join(f"{commands}echo '{END_OF_BLOCK}'\n" for commands, _ in story)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "TENANTRY_"))}
    environment["HOME"] = str(directory)
    with subprocess.Popen(
        ["bash", "-euo", "pipefail"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=directory,
        env=environment,
        text=True,
        process_group=0,
    ) as shell:
        try:
            output, errors = shell.communicate(script, timeout=300)
        finally:
            # If it ends too early, what it runs in the background would go on.
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, output + errors
    printed = output.split(f"{END_OF_BLOCK}\n")
    for (commands, expected), part in zip(story, printed, strict=False):
        lines = [_squeezed(line) for line in part.splitlines()]
        wanted = [_squeezed(line).replace(ANYTHING, "*") for line in expected.splitlines()]
        # What is shown is the end of the output: waiting and creating say things of their own.
        shown = lines[-len(wanted) :] if wanted else []
        assert len(shown) == len(wanted) and all(map(fnmatchcase, shown, wanted)), f"{commands}\nprinted\n{part}"


def _squeezed(line: str) -> str:
    return " ".join(line.split())
