"""For the tests of the commands."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[True, False], ids=["buffered", "unbuffered"])
def buffered(request: pytest.FixtureRequest) -> bool:
    """Whether Python buffers the command's standard output; never as the environment of the tests happens to have it."""
    return bool(request.param)
