"""Flags that take a duration as Go writes it: `1m30s`."""

from __future__ import annotations

from tenantry.base.flags import SettingError
from tenantry.kube.server_configuration import go_durations


def seconds_of(flag_name: str, text: str) -> float:
    """A Go duration in seconds. Raises SettingError."""
    try:
        return go_durations.parsed(text) / go_durations.SECOND
    except ValueError as error:
        raise SettingError(f'invalid argument "{text}" for "--{flag_name}" flag: {error}') from None
