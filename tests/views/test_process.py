"""What a process of views answers before it is ready, and what it refuses to start with."""

from __future__ import annotations

import pytest

from shard.settings import ShardSettings
from tenantry.base.flags import SettingError
from tests.support.etcd import EtcdServer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.tenancies import ServedShard
from tools.spawning import done, forked
from views.settings import ViewsSettings
from views.wiring import chosen


async def test_only_names_views_that_are_installed() -> None:
    views = ServedShard().views
    assert chosen(views, ()) == views
    assert set(chosen(views, ("workspaces", "apiexport"))) == {"workspaces", "apiexport"}
    with pytest.raises(SettingError, match="--only names none; installed are apiexport, ") as refused:
        chosen(views, ("workspaces", "none"))
    assert "workspaces" in str(refused.value)


def test_names_are_listed_with_commas() -> None:
    assert ViewsSettings(only="workspaces, apiexport").names() == ("workspaces", "apiexport")
    assert ViewsSettings().names() == ()


@pytest.mark.parametrize("settings", [ViewsSettings, ShardSettings])
def test_an_address_that_others_cannot_reach_is_refused(settings: type[ViewsSettings | ShardSettings]) -> None:
    assert settings(advertise_address="views-1.example.com").advertise_address
    with pytest.raises(SettingError, match="without a port"):
        settings(advertise_address="views-1.example.com:6443")


def test_a_name_that_is_not_installed_ends_the_start_with_the_reason() -> None:
    etcd = EtcdServer()
    etcd.start()
    try:
        where = ("--etcd-servers", etcd.url, "--health-port", "-1", "--bind-address", "127.0.0.1", "--secure-port", "0")
        ended = done(forked, ("views", "--only", "none", *where), PATIENCE_SECONDS)
    finally:
        etcd.stop()
    assert ended.code == 1 and "--only names none; installed are apiexport" in ended.errors, ended
