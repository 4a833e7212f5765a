"""Settings: flags, environment, defaults, and their page."""

import argparse
from pathlib import Path

import pytest

from tenantry.cli.settings import Settings
from tenantry.flags import SettingError, add_flags, settings_from
from tools.settings_page import PAGE, page


def parse(*arguments: str, **environment: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_flags(parser, Settings)
    return settings_from(Settings, parser.parse_args(arguments), environment)


def test_defaults() -> None:
    assert parse() == Settings()


def test_flag_wins_over_environment() -> None:
    assert parse("--shards", "3", TENANTRY_SHARDS="2", TENANTRY_RANGE_CAPACITY="5") == Settings(shards=3, range_capacity=5)


def test_types() -> None:
    settings = parse("--root-directory", "/x", "--access-log", "--anonymous-auth=false", "--request-timeout-seconds", "1.5")
    assert settings == Settings(root_directory=Path("/x"), access_log=True, anonymous_auth=False, request_timeout_seconds=1.5)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--shards", "0"), "--shards must be from 1 to 64, not 0"),
        (("--shards", "many"), "--shards takes a value of type int, not 'many'"),
        (("--access-log", "maybe"), "--access-log takes true or false, not 'maybe'"),
        (("--tls-cert-file", "x"), "--tls-cert-file and --tls-private-key-file need each other"),
        (("--log-level", "loud"), "--log-level must be debug, info, warning or error, not 'loud'"),
    ],
)
def test_bad_values_name_the_setting(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        parse(*arguments)


def test_page_is_true() -> None:
    assert PAGE.read_text() == page(), "docs/settings.md is behind the settings: run `make docs`"
