"""Settings: flags, environment, defaults, and their page."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tenantry.base.flags import (
    SettingError,
    Settings,
    add_flags,
    declarations,
    each_listed,
    other_default,
    setting,
    settings_from,
)
from tenantry.cli.settings import StartSettings
from tools.settings_page import COMMANDS, PAGE, page


def parse(*arguments: str, **environment: str) -> StartSettings:
    parser = argparse.ArgumentParser()
    add_flags(parser, StartSettings)
    return settings_from(StartSettings, parser.parse_args(arguments), environment)


def test_defaults() -> None:
    assert parse() == StartSettings()


def test_flag_wins_over_environment() -> None:
    assert parse("--shards", "3", TENANTRY_SHARDS="2", TENANTRY_RANGE_CAPACITY="5") == StartSettings(shards=3, range_capacity=5)


def test_types() -> None:
    settings = parse("--root-directory", "/x", "--access-log", "--anonymous-auth=false", "--request-timeout-seconds", "1.5")
    assert settings == StartSettings(
        root_directory=Path("/x"), access_log=True, anonymous_auth=False, request_timeout_seconds=1.5
    )


def test_flags_that_may_be_repeated() -> None:
    given = parse(
        *("--oidc-issuer-url", "https://a", "--oidc-client-id", "b"),
        *("--oidc-required-claim", "a=b,c", "--oidc-required-claim", "d=e=f"),
    )
    assert given.required_claims() == {"a": "b,c", "d": "e=f"}
    allowed = parse(TENANTRY_REQUESTHEADER_ALLOWED_NAMES="a,b\nc")
    assert allowed.requestheader_allowed_names == ("a,b", "c")
    assert each_listed(allowed.requestheader_allowed_names) == ("a", "b", "c")
    assert parse().oidc_required_claim == ()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--shards", "0"), "--shards must be from 1 to 64, not 0"),
        (("--shards", "many"), "--shards takes a value of type int, not 'many'"),
        (("--access-log", "maybe"), "--access-log takes true or false, not 'maybe'"),
        (("--tls-cert-file", "x"), "--tls-cert-file and --tls-private-key-file must be given together"),
        (("--oidc-client-id", "x"), "oidc-issuer-url and oidc-client-id must be specified together"),
        (
            ("--oidc-issuer-url", "x", "--oidc-client-id", "x", "--authentication-config", "x"),
            "authentication-config file and oidc-\\* flags are mutually exclusive",
        ),
        (
            ("--oidc-issuer-url", "x", "--oidc-client-id", "x", "--oidc-signing-algs", "RS256,HS256"),
            'oidc: unsupported signing alg: "HS256"',
        ),
        (
            ("--oidc-issuer-url", "x", "--oidc-client-id", "x", "--oidc-required-claim", "x"),
            "--oidc-required-claim takes key=value, not 'x'",
        ),
        (
            ("--authorization-config", "x", "--authorization-webhook-config-file", "y"),
            "--authorization-config cannot be specified when --authorization-webhook-\\* flags are defined",
        ),
        (("--authorization-webhook-cache-authorized-ttl", "5"), "time: missing unit in duration|invalid duration"),
        (("--authentication-token-webhook-version", "v2"), "--authentication-token-webhook-version must be v1 or v1beta1"),
        (("--log-level", "loud"), "--log-level must be debug, info, warning or error, not 'loud'"),
    ],
)
def test_bad_values_name_the_setting(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        parse(*arguments)


def test_page_is_true() -> None:
    assert PAGE.read_text() == page(), "docs/settings.md is behind the settings: run `make docs`"


def test_shared_settings_are_declared_once_and_stand_behind_a_command_s_own() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Shared(Settings):
        port: int = setting(1, "port", "shared reason", bounds=(0, 9))
        name: str = setting("", "name", "shared reason")

    @dataclass(frozen=True, kw_only=True)
    class Own(Shared):
        first: int = setting(0, "first", "own reason")
        port: int = other_default(5, "another reason")

    assert [(d.name, d.default, d.text, d.why) for d in declarations(Own)] == [
        ("first", 0, "first", "own reason"),
        ("port", 5, "port", "another reason"),
        ("name", "", "name", "shared reason"),
    ]
    assert Own().port == 5
    with pytest.raises(SettingError, match="--port must be from 0 to 9, not 10"):
        Own(port=10)


@pytest.mark.parametrize("kind", COMMANDS.values())
def test_defaults_are_within_their_own_bounds(kind: type[Any]) -> None:
    kind()
