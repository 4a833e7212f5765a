"""JWTs of issuers, as a scripted issuer signs them."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tenantry.apiserver.authentication import json_web_tokens
from tenantry.apiserver.authentication.authenticator import InvalidToken, UnionAuthenticator
from tenantry.apiserver.authentication.issuer_keys import (
    READ_SECONDS,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    REVALIDATE_SECONDS,
    IssuerKeySets,
)
from tenantry.apiserver.authentication.json_web_tokens import SignedToken
from tenantry.apiserver.authentication.jwt_authenticator import IssuerTokens, JwtTokens
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.calls import Calls
from tenantry.kube.go_decode import normaliser
from tenantry.kube.server_configuration.authentication import (
    JWT,
    ClaimRule,
    ExtraMapping,
    Issuer,
    JwtAuthenticator,
    Mapping,
    UserRule,
    jwt_authenticator,
)
from tenantry.kube.server_configuration.decoding import ConfigurationError
from tests.support.https_servers import TokenIssuerServer

OWN = "https://kcp.default.svc"


@pytest.fixture
def issuer() -> Iterator[TokenIssuerServer]:
    with TokenIssuerServer() as server:
        yield server


def tokens_of(issuer: TokenIssuerServer, **given: Any) -> SignedToken:
    parsed = json_web_tokens.parse(issuer.token(**given))
    assert parsed is not None
    return parsed


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def key_sets(clock: Clock | None = None) -> AsyncIterator[IssuerKeySets]:
    calls = Calls()
    sets = IssuerKeySets(calls, clock=clock or time.monotonic)
    try:
        yield sets
    finally:
        await sets.stop()
        await calls.close()


def configuration(issuer: TokenIssuerServer, /, **parts: Any) -> JwtAuthenticator:
    made = JwtAuthenticator(
        issuer=Issuer(url=issuer.url, audiences=("tenantry",), certificate_authority=issuer.ca),
        username=Mapping(claim="sub", prefix="oidc:"),
    )
    return replace(made, **parts)


async def user_of(issuer: TokenIssuerServer, token: str, /, **parts: Any) -> User:
    async with key_sets() as sets:
        tokens = JwtTokens([IssuerTokens(configuration(issuer, **parts), sets)], [OWN])
        identity = await tokens.authenticate_token(token, [OWN])
        assert identity is not None and identity.audiences == (OWN,)
        return identity.user


async def refusal(issuer: TokenIssuerServer, token: str, /, **parts: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        await user_of(issuer, token, **parts)
    return str(caught.value)


async def test_claims_become_a_user(issuer: TokenIssuerServer) -> None:
    token = issuer.token(groups=["dev", "ops"], uid="u-1", jti="j-1", team={"a.b": ["x", "", "y"]}, dept="d1")
    user = await user_of(
        issuer,
        token,
        groups=Mapping(claim="groups", prefix="g:"),
        uid=Mapping(claim="uid"),
        extra=(
            ExtraMapping(key="example.com/dept", expression="claims.dept"),
            ExtraMapping(key="example.com/team", expression="claims.team.a__dot__b"),
            ExtraMapping(key="example.com/none", expression="claims.?none.orValue('')"),
        ),
    )
    assert user == User(
        "oidc:s-1",
        ("g:dev", "g:ops"),
        "u-1",
        (
            ("authentication.kubernetes.io/credential-id", ("JTI=j-1",)),
            ("example.com/dept", ("d1",)),
            ("example.com/team", ("x", "y")),
        ),
    )


async def test_expressions_for_every_part(issuer: TokenIssuerServer) -> None:
    user = await user_of(
        issuer,
        issuer.token(email="a@b.c", email_verified=True, roles="admin,dev", level=3),
        username=Mapping(expression="'x:' + claims.email"),
        groups=Mapping(expression="claims.roles.split(',')"),
        uid=Mapping(expression="claims.sub"),
        claim_rules=(
            ClaimRule(expression="claims.email_verified == true", message="not verified"),
            ClaimRule(expression="claims.level > 2", message="too low"),
            ClaimRule(claim="sub", required_value="s-1"),
        ),
        user_rules=(UserRule(expression="!user.username.startsWith('system:') && user.groups.size() == 2"),),
    )
    assert user == User("x:a@b.c", ("admin", "dev"), "s-1")


RULE = "claims.level > 2"
REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"aud": "zz"}, {}, 'oidc: verify token: oidc: expected audience "tenantry" got ["zz"]'),
    ({"aud": None}, {}, 'oidc: verify token: oidc: expected audience "tenantry" got []'),
    ({"exp": 5}, {}, "oidc: verify token: oidc: token is expired (Token Expiry: 1970-01-01 00:00:05 +0000 UTC)"),
    ({"exp": None}, {}, "oidc: verify token: oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)"),
    ({"nbf": 1 << 33}, {}, "before the nbf (not before) time: 2242-03-16 12:56:32 +0000 UTC"),
    ({"exp": "soon"}, {}, "failed to unmarshal claims: json: invalid number literal"),
    ({}, {"username": Mapping(claim="email", prefix="")}, 'oidc: parse username claims "email": claim not present'),
    (
        {"email": "x", "email_verified": False},
        {"username": Mapping(claim="email", prefix="")},
        "oidc: email not verified",
    ),
    ({"name": 3}, {"username": Mapping(claim="name", prefix="")}, "cannot unmarshal number into Go value of type string"),
    ({"name": ""}, {"username": Mapping(claim="name", prefix="")}, "oidc: empty username is not allowed"),
    ({}, {"uid": Mapping(claim="uid")}, 'oidc: parse uid claim "uid": claim not present'),
    ({"groups": {"a": 1}}, {"groups": Mapping(claim="groups", prefix="")}, 'oidc: parse groups claim "groups": json: cannot'),
    ({}, {"username": Mapping(expression="claims.level")}, "expression 'claims.level' resulted in error: no such key: level"),
    ({"level": 3}, {"username": Mapping(expression="claims.level")}, "username claim expression must return a string"),
    ({"n": ""}, {"username": Mapping(expression="claims.n")}, "oidc: empty username via CEL expression is not allowed"),
    ({"level": 3}, {"groups": Mapping(expression="claims.level")}, "must return a string or a list of strings"),
    ({}, {"claim_rules": (ClaimRule(claim="hd", required_value="x"),)}, "oidc: required claim hd not present in ID token"),
    (
        {"hd": "y"},
        {"claim_rules": (ClaimRule(claim="hd", required_value="x"),)},
        "oidc: required claim hd value does not match. Got = y, want = x",
    ),
    (
        {},
        {"claim_rules": (ClaimRule(expression=RULE, message="too low"),)},
        f"oidc: error evaluating claim validation expression: expression '{RULE}' resulted in error: no such key: level",
    ),
    (
        {"level": 1},
        {"claim_rules": (ClaimRule(expression=RULE, message="too low"),)},
        f"oidc: error evaluating claim validation expression: validation expression '{RULE}' failed: too low",
    ),
    (
        {},
        {"user_rules": (UserRule(expression="user.uid == 'x'", message="bad user"),)},
        "oidc: error evaluating user info validation rule: validation expression 'user.uid == 'x'' failed: bad user",
    ),
]


@pytest.mark.parametrize(("claims", "parts", "text"), REFUSALS)
async def test_refusals(issuer: TokenIssuerServer, claims: dict[str, Any], parts: dict[str, Any], text: str) -> None:
    assert text in await refusal(issuer, issuer.token(**claims), **parts)


async def test_several_audiences(issuer: TokenIssuerServer) -> None:
    audiences = Issuer(url=issuer.url, audiences=("b", "a"), audience_match_policy="MatchAny", certificate_authority=issuer.ca)
    assert (await user_of(issuer, issuer.token(aud=["x", "a"]), issuer=audiences)).name == "oidc:s-1"
    assert 'expected audience in ["a" "b"] got ["c"]' in await refusal(issuer, issuer.token(aud="c"), issuer=audiences)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (rsa.generate_private_key(65537, 2048), "PS384"),
    ],
)
async def test_algorithms(issuer: TokenIssuerServer, key: Any, algorithm: str) -> None:
    issuer.keys = {"first": key}
    assert (await user_of(issuer, issuer.token(algorithm=algorithm))).name == "oidc:s-1"
    # A token need not name its key.
    assert (await user_of(issuer, issuer.token(key_id="", key=key, algorithm=algorithm))).name == "oidc:s-1"


async def test_what_is_not_signed_by_the_issuer(issuer: TokenIssuerServer) -> None:
    text = "oidc: verify token: failed to verify signature: failed to verify id token signature"
    other = rsa.generate_private_key(65537, 2048)
    assert await refusal(issuer, issuer.token(key=other)) == text
    assert await refusal(issuer, issuer.token(key=other, key_id="")) == text
    head, _, signature = issuer.token().split(".")
    _, payload, _ = issuer.token(sub="somebody-else").split(".")
    assert await refusal(issuer, f"{head}.{payload}.{signature}") == text
    secret = jwt.encode({"iss": issuer.url, "aud": "tenantry"}, "s" * 32, algorithm="HS256")
    assert "oidc: id token signed with unsupported algorithm, expected [" in await refusal(issuer, secret)
    unsigned = jwt.encode({"iss": issuer.url}, None, algorithm="none")  # type: ignore[arg-type]
    assert 'got "none"' in await refusal(issuer, unsigned)


async def test_tokens_of_others_are_left_to_others(issuer: TokenIssuerServer) -> None:
    async with key_sets() as sets:
        tokens = JwtTokens([IssuerTokens(configuration(issuer), sets)], [OWN])
        for token in ("opaque", "a.b.c", issuer.token(iss="https://else.where"), "." * 200_000):
            assert await tokens.authenticate_token(token, [OWN]) is None
        assert await tokens.authenticate_token(issuer.token(), ["another audience"]) is None
    assert not issuer.requests


async def test_a_rotated_key_is_found_and_a_removed_one_forgotten(issuer: TokenIssuerServer) -> None:
    clock = Clock()
    async with key_sets(clock) as sets:
        tokens = IssuerTokens(configuration(issuer), sets)
        old = tokens_of(issuer)
        await tokens.user_of(old)
        issuer.keys = {"second": rsa.generate_private_key(65537, 2048)}
        new = tokens_of(issuer, key_id="second")
        clock.now += REFRESH_SECONDS
        await tokens.user_of(new)
        assert issuer.reads_of_keys() == 2
        with pytest.raises(InvalidToken):
            await tokens.user_of(old)
        # However many tokens with unknown keys come, the issuer is asked once in a while.
        for _ in range(5):
            with pytest.raises(InvalidToken):
                await tokens.user_of(old)
        assert issuer.reads_of_keys() == 2


async def test_a_removed_key_is_not_valid_for_ever(issuer: TokenIssuerServer) -> None:
    clock = Clock()
    async with key_sets(clock) as sets:
        tokens = IssuerTokens(configuration(issuer), sets)
        token = tokens_of(issuer)
        await tokens.user_of(token)
        issuer.broken = True
        clock.now += REVALIDATE_SECONDS + 1
        await tokens.user_of(token)
        issuer.broken, issuer.keys = False, {"second": rsa.generate_private_key(65537, 2048)}
        clock.now += RETRY_SECONDS
        with pytest.raises(InvalidToken):
            await tokens.user_of(token)


async def test_known_keys_wait_once_for_an_issuer_that_hangs(issuer: TokenIssuerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    async with key_sets(clock) as sets:
        tokens = IssuerTokens(configuration(issuer), sets)
        token = tokens_of(issuer)
        await tokens.user_of(token)
        issuer.broken = True
        clock.now += REVALIDATE_SECONDS + 1
        await tokens.user_of(token)
        # From now on it takes each request, and answers none.
        asked = asyncio.Event()

        async def hang(*args: Any, **more: Any) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(sets, "get", hang)
        clock.now += RETRY_SECONDS
        async with asyncio.timeout(READ_SECONDS / 2):
            for _ in range(3):
                await tokens.user_of(token)
        assert asked.is_set()


async def test_an_issuer_that_does_not_answer_is_tried_again(issuer: TokenIssuerServer) -> None:
    clock = Clock()
    issuer.broken = True
    async with key_sets(clock) as sets:
        tokens = IssuerTokens(configuration(issuer), sets)
        for _ in range(3):
            with pytest.raises(InvalidToken, match="answered 500"):
                await tokens.user_of(tokens_of(issuer))
        assert len(issuer.requests) == 1
        issuer.broken = False
        clock.now += RETRY_SECONDS
        assert (await tokens.user_of(tokens_of(issuer))).name == "oidc:s-1"


async def test_documents_that_cannot_be_used(issuer: TokenIssuerServer) -> None:
    discovery = "/.well-known/openid-configuration"
    for answer, text in (
        ((200, {"issuer": "https://else.where", "jwks_uri": "x"}), "issuer did not match the issuer returned by provider"),
        ((200, {"issuer": issuer.url}), "provider did not return JWKS URL"),
        ((200, b"x" * 300_000), "has more than 262144 bytes"),
        ((200, b"nothing"), "oidc: verify token: failed to verify signature"),
        ((302, f"{issuer.url}{discovery}"), "stopped after 5 redirects"),
        ((302, "file:///etc/passwd"), "unsupported protocol scheme 'file'"),
    ):
        issuer.more[discovery] = answer
        assert text in await refusal(issuer, issuer.token())
    issuer.more = {"/keys": (200, {"keys": "none"})}
    assert "the document has no list of keys" in await refusal(issuer, issuer.token())
    issuer.more = {"/keys": (200, {"keys": [3, {"kty": "oct", "k": "AA"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}]})}
    assert "failed to verify id token signature" in await refusal(issuer, issuer.token())


async def test_a_discovery_url(issuer: TokenIssuerServer) -> None:
    elsewhere = Issuer(
        url="https://issuer.example",
        audiences=("tenantry",),
        discovery_url=f"{issuer.url}/discovery",
        certificate_authority=issuer.ca,
    )
    issuer.more["/discovery"] = (200, {"issuer": "https://issuer.example", "jwks_uri": f"{issuer.url}/keys"})
    token = issuer.token(iss="https://issuer.example")
    assert (await user_of(issuer, token, issuer=elsewhere)).name == "oidc:s-1"


async def test_authenticators_of_one_issuer_share_its_keys(issuer: TokenIssuerServer) -> None:
    async with key_sets() as sets:
        for prefix in ("a:", "b:"):
            tokens = IssuerTokens(configuration(issuer, username=Mapping(claim="sub", prefix=prefix)), sets)
            assert (await tokens.user_of(tokens_of(issuer))).name == f"{prefix}s-1"
            kept = tokens
        assert issuer.reads_of_keys() == 1
        del kept, tokens
        assert not sets._known


async def test_distributed_groups(issuer: TokenIssuerServer) -> None:
    groups = Mapping(claim="groups", prefix="")
    issuer.more["/groups"] = (200, issuer.token(groups=["far", "away"]).encode())
    sources = {"there": {"endpoint": f"{issuer.url}/groups", "access_token": "secret"}}
    token = issuer.token(_claim_names={"groups": "there"}, _claim_sources=sources)
    assert (await user_of(issuer, token, groups=groups)).groups == ("far", "away")
    assert ("/groups", "Bearer secret") in [(path, headers.get("authorization")) for path, _, headers in issuer.requests]

    issuer.more["/groups"] = (200, issuer.token().encode())
    assert "did not contain claim: groups" in await refusal(issuer, token, groups=groups)
    issuer.more["/groups"] = (200, issuer.token(groups=["x"], key=rsa.generate_private_key(65537, 2048)).encode())
    assert "could not expand distributed claims: verify distributed claim token" in await refusal(issuer, token, groups=groups)
    issuer.more["/groups"] = (200, b"x" * 200_000)
    assert "while getting distributed claim" in await refusal(issuer, token, groups=groups)
    nowhere = issuer.token(_claim_names={"groups": "x"}, _claim_sources=sources)
    assert "oidc: source does not exist" in await refusal(issuer, nowhere, groups=groups)


async def test_costly_expressions_end(issuer: TokenIssuerServer) -> None:
    mapping = Mapping(expression="dyn(claims.l).map(a, dyn(claims.l).map(b, dyn(claims.l).map(c, a + b + c)))[0][0][0]")
    assert "cost too much" in await refusal(issuer, issuer.token(l=["x" * 20] * 150), username=mapping)
    # What costs more than the event loop may be held up for is done in a thread.
    quick = Mapping(expression="dyn(claims.l).map(a, dyn(claims.l).map(b, a + b))[0][0]")
    assert (await user_of(issuer, issuer.token(l=["x"] * 100), username=quick)).name == "xx"


async def test_a_cached_user_ends_with_its_token(issuer: TokenIssuerServer) -> None:
    now = [0.0]
    async with key_sets() as sets:
        tokens = JwtTokens([IssuerTokens(configuration(issuer), sets)], [OWN])
        union = UnionAuthenticator(tokens=[tokens], audiences=[OWN], clock=lambda: now[0])
        token = issuer.token(exp=int(time.time()) + 3)
        assert await union.authenticate(Request("GET", "/", headers={"authorization": f"Bearer {token}"}), None)
        (known,) = [union._known.get(key) for key in union._known]
        assert known is not None and 1 <= known.until <= 3


def test_a_configuration_that_is_not_valid(issuer: TokenIssuerServer) -> None:
    with pytest.raises(ConfigurationError, match=r"^issuer.url: Invalid value: .* URL scheme must be https"):
        IssuerTokens(configuration(issuer, issuer=Issuer(url="http://x", audiences=("a",))), IssuerKeySets(Calls()))


RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "cases" / "configuration" / "claims.json").read_text())
"""Configurations, and what kube-apiserver 1.37.2 made of the claims of tokens: a user, or why not."""
LISTS_OF_FUNCTIONS = "expression must return a string or a list of strings"
"""kube-apiserver refuses the lists that `split` makes as groups; they are texts here."""


@pytest.mark.parametrize("case", RECORDED)
async def test_recorded_claims(issuer: TokenIssuerServer, case: dict[str, Any]) -> None:
    obj = copy.deepcopy(case["configuration"])
    normaliser(JWT)(obj)
    parsed = jwt_authenticator(obj)
    splits = ".split(" in parsed.groups.expression
    async with key_sets() as sets:
        tokens = JwtTokens([IssuerTokens(replace(parsed, issuer=configuration(issuer).issuer), sets)], [OWN])
        for token in case["tokens"]:
            found: Any
            try:
                identity = await tokens.authenticate_token(issuer.token(**token["claims"]), [OWN])
                found = {"user": identity.user.to_user_info()} if identity is not None else None
            except InvalidToken as error:
                found = str(error)
            wanted = token["answer"]
            if splits and isinstance(wanted, str) and wanted.endswith(LISTS_OF_FUNCTIONS):
                assert isinstance(found, dict)
                continue
            if isinstance(wanted, dict):
                wanted = {"user": dict(sorted(wanted["user"].items()))}
                assert isinstance(found, dict), found
                found = {"user": dict(sorted(found["user"].items()))}
            assert found == wanted, token["claims"]
