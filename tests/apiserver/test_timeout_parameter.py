"""The texts of Go's time.ParseDuration."""

import pytest

from tenantry.apiserver.request import Request
from tenantry.apiserver.timeout_parameter import check_timeout
from tenantry.kube.status import StatusError


@pytest.mark.parametrize("text", ["", "0", "0s", "10s", "-1s", "1h", "1.5h30m", ".5s", "100ms"])
def test_durations(text: str) -> None:
    check_timeout(Request("GET", "/", f"timeout={text}"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bad", 'invalid duration "bad"'),
        ("5", 'missing unit in duration "5"'),
        ("5x", 'unknown unit "x" in duration "5x"'),
        ("-", 'invalid duration "-"'),
        (".s", 'invalid duration ".s"'),
        ("1s2", 'missing unit in duration "1s2"'),
    ],
)
def test_what_is_none(text: str, problem: str) -> None:
    with pytest.raises(StatusError) as caught:
        check_timeout(Request("GET", "/", f"timeout={text}"))
    assert (caught.value.code, caught.value.message) == (
        400,
        f"invalid timeout specified in the request URL - time: {problem}",
    )
