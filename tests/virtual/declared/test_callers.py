"""Who a caller is to the expressions of a declared view."""

from __future__ import annotations

import pytest

from tenantry.apiserver.user import AUTHENTICATED_GROUP, CLUSTER_NAME_EXTRA, SCOPES_EXTRA, WARRANT_EXTRA, User, make_extra
from tenantry.tenancy.types.virtual_workspace import ACCESS_VARIABLES
from tenantry.virtual.declared.evaluation import user_value
from tests.support.people import person
from tests.support.tenancies import ServedShard
from tests.virtual.apiexport.ranch import listed
from tests.virtual.declared.observatory import CONFIG_MAPS, NEAR, PROVIDER, config_map, config_maps, observatory

BOT = "system:serviceaccount:default:bot"


def bot(home: str) -> User:
    groups = ("system:serviceaccounts", "system:serviceaccounts:default", AUTHENTICATED_GROUP)
    return User(BOT, groups, "uid", make_extra({CLUSTER_NAME_EXTRA: [home]}))


def scoped(name: str, cluster: str, *groups: str) -> User:
    return User(name, (*groups, AUTHENTICATED_GROUP), "", make_extra({SCOPES_EXTRA: [f"cluster:{cluster}"]}))


def test_names_belong_to_the_cluster_that_gave_them() -> None:
    assert user_value(bot(PROVIDER), PROVIDER)["name"] == BOT
    foreign = user_value(bot(NEAR), PROVIDER)
    assert foreign == {"name": f"system:kcp:serviceaccount:{NEAR}:default:bot", "groups": [AUTHENTICATED_GROUP], "uid": ""}
    assert user_value(scoped("ada", PROVIDER, "admins"), PROVIDER)["name"] == "ada"
    stranger = user_value(scoped("ada", NEAR, "admins"), PROVIDER)
    assert stranger == {"name": "system:anonymous", "groups": [AUTHENTICATED_GROUP], "uid": ""}
    warrant = make_extra({WARRANT_EXTRA: ['{"user": "root", "groups": ["system:masters"]}']})
    assert user_value(User("ada", ("a",), "u", warrant), PROVIDER) == {"name": "ada", "groups": ["a"], "uid": "u"}
    assert user_value(person("ada"), PROVIDER)["name"] == "ada"
    assert ACCESS_VARIABLES[0] == "user"


@pytest.mark.parametrize("entry", [CONFIG_MAPS, {**CONFIG_MAPS, "filter": f"user.name == '{BOT}' || 'vip' in user.groups"}])
async def test_a_name_of_another_workspace_lets_nobody_in(entry: dict[str, object]) -> None:
    rule = f"user.name == '{BOT}' || 'vip' in user.groups"
    async with ServedShard() as shard:
        await observatory(shard, access={"expression": rule}, resources=[entry])
        await config_map(shard, "one")
        assert await listed(shard, config_maps(), bot(PROVIDER)) == ["one"]
        assert await listed(shard, config_maps(), person("ada", "vip")) == ["one"]
        for who in (bot(NEAR), scoped("ada", NEAR, "vip"), scoped(BOT, NEAR), person("ada")):
            for path in (config_maps(), config_maps(NEAR)):
                assert (await shard.call("GET", path, who))[0] == 403, who


async def test_an_access_expression_that_fails_lets_nobody_in() -> None:
    async with ServedShard() as shard:
        await observatory(shard, access={"expression": "user.nothing == 1"}, resources=[CONFIG_MAPS])
        assert (await shard.call("GET", config_maps(), person("ada")))[0] == 403
