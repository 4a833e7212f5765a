"""Writes docs/settings.md from the settings themselves; `make docs` runs it and a test holds the page to it."""

from __future__ import annotations

from pathlib import Path

from tenantry.cli.settings import Settings
from tenantry.flags import table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"


def page() -> str:
    return (
        "# Settings of `tenantry start`\n\n"
        "A flag wins over the environment, the environment over the default. This page is written by `make docs`.\n\n"
        f"{table(Settings)}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
