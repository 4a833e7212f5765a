"""Tokens, certificates and headers: who is let in as whom."""

from __future__ import annotations

import base64
import hashlib
import ssl
import time
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from multidict import CIMultiDict

from tenantry.apiserver.authentication import admin_tokens
from tenantry.apiserver.authentication.authenticator import ANONYMOUS_USER, InvalidToken, UnionAuthenticator, bearer_token
from tenantry.apiserver.authentication.client_certificate import ClientCertificates, RequestHeaders
from tenantry.apiserver.authentication.service_account_tokens import (
    BoundObject,
    KeyFileError,
    ServiceAccountTokens,
    TokenIssuer,
    token_cluster,
)
from tenantry.apiserver.authentication.static_tokens import StaticTokens, TokenFileError, read_token_file
from tenantry.apiserver.forwarded import request_head
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import CLUSTER_NAME_EXTRA, User
from tenantry.http.certificates import CertificateAuthority, CertificateError
from tenantry.kube.status import StatusError

OWN = "https://kcp.default.svc"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> TokenIssuer:
    return TokenIssuer.load(tmp_path_factory.mktemp("keys") / "sa.key")


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create()


def bearer(token: str, **headers: str) -> Request:
    return Request("GET", "/", headers={"authorization": f"Bearer {token}", **headers})


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


class Objects:
    """What a look-up finds."""

    def __init__(self, **uids: str) -> None:
        self.uids = uids
        self.asked = 0

    async def __call__(self, cluster: str, resource: str, namespace: str, name: str) -> str | None:
        self.asked += 1
        assert (cluster, namespace) == ("abc", "default")
        return self.uids.get(f"{resource}_{name}")


async def test_bearer_tokens_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text('t-alice,alice,u1,"devs,ops"\nt-bob,bob,u2\n\nt-eve,eve,u3,""\n')
    union = UnionAuthenticator(tokens=[StaticTokens(read_token_file(file), [OWN])], audiences=[OWN])

    assert await union.authenticate(bearer("t-alice"), "root") == User("alice", ("devs", "ops", "system:authenticated"), "u1")
    assert await union.authenticate(bearer("t-bob"), None) == User("bob", ("system:authenticated",), "u2")
    assert (await union.authenticate(bearer("t-eve"), None)).groups == ("", "system:authenticated")  # type: ignore[union-attr]


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Bearer ", "Bearer"])
async def test_without_a_token_one_is_anonymous(header: str) -> None:
    request = Request("GET", "/", headers={"authorization": header})

    assert await UnionAuthenticator().authenticate(request, None) == ANONYMOUS_USER
    assert await UnionAuthenticator(anonymous=False).authenticate(request, None) is None


async def test_a_wrong_token_is_401_and_never_anonymous() -> None:
    with pytest.raises(StatusError) as caught:
        await UnionAuthenticator().authenticate(bearer("wrong"), None)
    assert (caught.value.code, caught.value.message) == (401, "Unauthorized")


async def test_tokens_are_remembered_for_a_while(issuer: TokenIssuer) -> None:
    objects = Objects(serviceaccounts_robot="u")
    now = [0.0]
    union = UnionAuthenticator(
        tokens=[ServiceAccountTokens(issuer, objects)], audiences=[OWN], valid_seconds=10, invalid_seconds=1, clock=lambda: now[0]
    )
    token, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u")
    for _ in range(3):
        assert await union.authenticate(bearer(token), "abc")
    assert objects.asked == 1
    objects.uids.clear()
    now[0] = 9.9
    assert await union.authenticate(bearer(token), "abc")
    now[0] = 10.1
    for _ in range(2):
        with pytest.raises(StatusError):
            await union.authenticate(bearer(token), "abc")
    assert objects.asked == 2
    objects.uids["serviceaccounts_robot"] = "u"
    now[0] = 11.2
    assert await union.authenticate(bearer(token), "abc")


async def test_a_deletion_drops_the_tokens_that_end_with_it_and_no_others(issuer: TokenIssuer) -> None:
    objects = Objects(serviceaccounts_robot="u", serviceaccounts_other="v", secrets_s="s")
    union = UnionAuthenticator(tokens=[ServiceAccountTokens(issuer, objects)], audiences=[OWN], clock=lambda: 0.0)
    bound = BoundObject("Secret", "s", "s")
    robot, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u")
    secret, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u", bound=bound)
    other, _ = issuer.issue(cluster="abc", namespace="default", name="other", uid="v")

    async def looked_up() -> list[int]:
        found = []
        for token in (robot, secret, other):
            before = objects.asked
            assert await union.authenticate(bearer(token), "abc")
            found.append(objects.asked - before)
        return found

    assert await looked_up() == [1, 2, 1]
    union.forget_object("of something else")
    assert await looked_up() == [0, 0, 0]
    union.forget_object("s")
    assert await looked_up() == [0, 2, 0]
    union.forget_object("u")
    assert await looked_up() == [1, 0, 0], "the account exists, and so the second token is trusted again"
    union.forget_object("u")
    del objects.uids["serviceaccounts_robot"]
    with pytest.raises(StatusError):
        await union.authenticate(bearer(robot), "abc")
    assert await union.authenticate(bearer(other), "abc")


async def test_remembered_tokens_are_bounded() -> None:
    tokens = {f"t{n}": User(f"u{n}") for n in range(100)}
    union = UnionAuthenticator(tokens=[StaticTokens(tokens)], remembered_bytes=6000)
    for token in tokens:
        await union.authenticate(bearer(token), None)
    assert 0 < union._known.bytes <= 6000 and len(union._known) < len(tokens)


async def test_service_account_token(issuer: TokenIssuer) -> None:
    token, expires = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u", lifetime_seconds=600)
    tokens = ServiceAccountTokens(issuer, Objects(serviceaccounts_robot="u"))

    identity = await tokens.authenticate_token(token, [])

    assert identity is not None
    user = identity.user
    assert (user.name, user.uid) == ("system:serviceaccount:default:robot", "u")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default")
    assert user.extra_values(CLUSTER_NAME_EXTRA) == ("abc",)
    assert user.extra_values("authentication.kubernetes.io/credential-id")[0].startswith("JTI=")
    assert identity.audiences == (OWN,)
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": issuer.key_id}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert sorted(claims) == ["aud", "exp", "iat", "iss", "jti", "kubernetes.io", "nbf", "sub"]
    assert claims["exp"] == expires == claims["iat"] + 600
    assert token_cluster(bearer(token)) == "abc"


async def test_token_verifies_with_the_published_key(issuer: TokenIssuer) -> None:
    token, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u")
    key = jwt.PyJWKSet.from_dict(issuer.key_set()).keys[0]

    assert key.key_id == issuer.key_id
    assert jwt.decode(token, key.key, algorithms=["RS256"], audience=OWN)["sub"].endswith("robot")


@pytest.mark.parametrize(
    ("uids", "text"),
    [
        ({}, 'serviceaccounts "robot" not found'),
        ({"serviceaccounts_robot": "other"}, r"service account UID \(other\) does not match claim \(u\)"),
        ({"serviceaccounts_robot": "u"}, "has been invalidated"),
        (
            {"serviceaccounts_robot": "u", "secrets_holder": "x"},
            r"secret UID \(x\) does not match service account secret ref claim \(s\)",
        ),
    ],
)
async def test_a_token_dies_with_what_it_is_bound_to(issuer: TokenIssuer, uids: dict[str, str], text: str) -> None:
    token, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u", bound=BoundObject("Secret", "holder", "s"))
    with pytest.raises(InvalidToken, match=text):
        await ServiceAccountTokens(issuer, Objects(**uids)).authenticate_token(token, [])


async def test_the_token_of_a_secret_lives_as_long_as_it(issuer: TokenIssuer) -> None:
    robot = {"cluster": "abc", "namespace": "default", "name": "robot", "uid": "u"}
    token = issuer.issue_for_secret(**robot, secret=BoundObject("Secret", "holder", "s"))
    identity = await ServiceAccountTokens(issuer, Objects(serviceaccounts_robot="u", secrets_holder="s")).authenticate_token(
        token, []
    )
    assert identity is not None
    assert "exp" not in jwt.decode(token, options={"verify_signature": False})
    with pytest.raises(InvalidToken, match="has been invalidated"):
        await ServiceAccountTokens(issuer, Objects(serviceaccounts_robot="u")).authenticate_token(token, [])


async def test_a_token_for_ever_is_bound_to_a_secret(issuer: TokenIssuer) -> None:
    good, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u")
    claims = jwt.decode(good, options={"verify_signature": False})
    del claims["exp"]
    unbound = jwt.encode(claims, issuer._key, algorithm="RS256")
    with pytest.raises(InvalidToken, match="bound to no secret"):
        await ServiceAccountTokens(issuer, Objects(serviceaccounts_robot="u")).authenticate_token(unbound, [])


async def test_token_of_another_audience(issuer: TokenIssuer) -> None:
    token, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u", audiences=["elsewhere"])
    union = UnionAuthenticator(tokens=[ServiceAccountTokens(issuer, Objects(serviceaccounts_robot="u"))], audiences=[OWN])

    with pytest.raises(StatusError):
        await union.authenticate(bearer(token), None)
    with pytest.raises(InvalidToken) as caught:
        await union.review(token, [])
    assert str(caught.value) == (
        f'[invalid bearer token, token audiences ["elsewhere"] is invalid for the target audiences ["{OWN}"]]'
    )
    identity = await union.review(token, ["elsewhere", "x"])
    assert identity.audiences == ("elsewhere",)
    assert "system:authenticated" in identity.user.groups


async def test_expired_forged_and_foreign_tokens(issuer: TokenIssuer, tmp_path: Path) -> None:
    tokens = ServiceAccountTokens(issuer, Objects(serviceaccounts_robot="u"))
    good, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u", lifetime_seconds=-120)
    with pytest.raises(InvalidToken, match="expired"):
        await tokens.authenticate_token(good, [])
    forger = TokenIssuer.load(tmp_path / "other.key")
    forged, _ = forger.issue(cluster="abc", namespace="default", name="robot", uid="u")
    with pytest.raises(InvalidToken, match="no keys found"):
        await tokens.authenticate_token(forged, [])
    unsigned = jwt.encode({"iss": OWN, "sub": "x", "exp": time.time() + 60}, "", algorithm="none")
    with pytest.raises(InvalidToken):
        await tokens.authenticate_token(unsigned, [])
    foreign = jwt.encode({"iss": "https://other", "sub": "x"}, "k" * 32, algorithm="HS256")
    assert await tokens.authenticate_token(foreign, []) is None
    assert await tokens.authenticate_token("a.b.c", []) is None


@pytest.mark.parametrize("claims", ['{"iss":["a"]}', '{"iss":{}}', '{"iss":1}', '{"iss":null}', "[]", "1"])
async def test_an_issuer_that_is_no_text_is_none(issuer: TokenIssuer, claims: str) -> None:
    token = f"e30.{base64.urlsafe_b64encode(claims.encode()).rstrip(b'=').decode()}.AAAA"
    assert await ServiceAccountTokens(issuer, Objects()).authenticate_token(token, ()) is None


async def test_bytes_that_are_no_text_are_no_token(issuer: TokenIssuer) -> None:
    token, _ = issuer.issue(cluster="c", namespace="ns", name="robot", uid="1")
    union = UnionAuthenticator(tokens=[ServiceAccountTokens(issuer, Objects(robot="1"))])
    header, payload, signature = token.split(".")
    for broken in (f"\udc80.{payload}.{signature}", f"{header}\udcff.{payload}.{signature}", f"é.{payload}.{signature}"):
        with pytest.raises(StatusError) as refused:
            await union.authenticate(bearer(broken), None)
        assert refused.value.code == 401
        assert token_cluster(bearer(broken)) is None


async def test_no_method_reads_a_token_beyond_128_kib() -> None:
    token = "t" * (128 * 1024)
    union = UnionAuthenticator(tokens=[StaticTokens({token: User("pat"), f"{token}t": User("too-long")})])
    assert (await union.review(token, ())).user.name == "pat"
    with pytest.raises(InvalidToken, match="invalid bearer token"):
        await union.review(f"{token}t", ())


async def test_times_of_tokens(issuer: TokenIssuer) -> None:
    token, expires = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u", lifetime_seconds=600)
    begin = expires - 600
    moments = [0.0]
    tokens = ServiceAccountTokens(issuer, Objects(serviceaccounts_robot="u"), now=lambda: moments[-1])
    for moment, problem in (
        (begin - 61, "service account token is not valid yet"),
        (begin - 59, ""),
        (expires + 59, ""),
        (expires + 61, "service account token has expired"),
    ):
        moments.append(moment)
        if problem:
            with pytest.raises(InvalidToken, match=f"^{problem}$"):
                await tokens.authenticate_token(token, [])
        else:
            assert await tokens.authenticate_token(token, []) is not None


async def test_issuers_of_the_operators_choice(issuer: TokenIssuer) -> None:
    renamed = issuer.named(["https://new", OWN], ["a", "b"])
    tokens = ServiceAccountTokens(renamed, Objects(serviceaccounts_robot="u"))
    new, _ = renamed.issue(cluster="abc", namespace="default", name="robot", uid="u")
    claims = jwt.decode(new, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == ("https://new", ["a", "b"])
    old, _ = issuer.issue(cluster="abc", namespace="default", name="robot", uid="u", audiences=["b"])
    for token in (new, old):
        identity = await tokens.authenticate_token(token, [])
        assert identity is not None and "b" in identity.audiences
    # The other way round, the new issuer is not known.
    assert await ServiceAccountTokens(issuer, Objects()).authenticate_token(new, []) is None


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer t", "t"),
        (" bEARER t ", "t"),
        ("Bearer t more", "t"),
        ("Bearer  t", ""),
        ("Bearer", ""),
        ("Bearer\tt", ""),
        ("Basic t", ""),
        ("", ""),
    ],
)
def test_headers_of_tokens(header: str, token: str) -> None:
    assert bearer_token(Request("GET", "/", headers={"authorization": header})) == token


def test_token_cluster_of_other_tokens() -> None:
    legacy = jwt.encode({"kubernetes.io/serviceaccount/clusterName": "old"}, "k" * 32, algorithm="HS256")
    assert token_cluster(bearer(legacy)) == "old"
    assert token_cluster(bearer("opaque")) is None
    assert token_cluster(bearer("a.!!.c")) is None
    assert token_cluster(Request("GET", "/")) is None


def test_the_signing_key_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "sa.key"
    first = TokenIssuer.load(path)
    assert TokenIssuer.load(path).key_id == first.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("garbage")
    with pytest.raises(KeyFileError, match=r"sa\.key"):
        TokenIssuer.load(path)


def test_client_certificate_is_user_and_groups(authority: CertificateAuthority) -> None:
    method = ClientCertificates(authority.certificate)
    pair = authority.issue_client("alice", ["devs", "ops"])
    request = Request("GET", "/", client_certificate=der(pair.certificate))

    credential = "X509SHA256=" + hashlib.sha256(der(pair.certificate)).hexdigest()
    extra = (("authentication.kubernetes.io/credential-id", (credential,)),)
    assert method.authenticate_request(request) == User("alice", ("devs", "ops", "system:authenticated"), "", extra)
    assert method.authenticate_request(Request("GET", "/")) is None


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        (User("pat", ("dev",)), ("dev", "system:authenticated")),
        (User("pat", ("system:authenticated", "dev")), ("system:authenticated", "dev")),
        (User("pat", ("system:unauthenticated",)), ("system:unauthenticated",)),
        (User("pat", ("system:unauthenticated", "system:authenticated")), ("system:unauthenticated", "system:authenticated")),
        (User("system:anonymous", ("system:unauthenticated",)), ("system:unauthenticated",)),
        (User("system:anonymous"), ()),
    ],
)
async def test_who_is_called_anonymous_is_not_authenticated(
    authority: CertificateAuthority, user: User, groups: tuple[str, ...]
) -> None:
    union = UnionAuthenticator(tokens=[StaticTokens({"t": user})])
    found = await union.authenticate(bearer("t"), None)
    assert found is not None and found.groups == groups
    certified = authority.issue_client(user.name, user.groups)
    of_certificate = ClientCertificates(authority.certificate).authenticate_request(
        Request("GET", "/", client_certificate=der(certified.certificate))
    )
    assert of_certificate is not None and of_certificate.groups == groups
    # And as another process of the platform passes it on.
    lines = request_head(Request("GET", "/"), found, length=None).decode().split("\r\n")[1:-2]
    headers = CIMultiDict((name, value) for name, _, value in (line.partition(": ") for line in lines))
    proxy = Request("GET", "/", headers=headers, client_certificate=der(authority.issue_client("proxy").certificate))
    passed_on = RequestHeaders(authority.certificate).authenticate_request(proxy)
    assert passed_on is not None and set(passed_on.groups) == set(groups)


def test_certificates_of_others_and_for_servers_are_nobody(authority: CertificateAuthority) -> None:
    method = ClientCertificates(authority.certificate)
    other = CertificateAuthority.create().issue_client("alice").certificate
    serving = authority.issue_serving(["alice"]).certificate
    for certificate in (der(other), der(serving), b"garbage"):
        assert method.authenticate_request(Request("GET", "/", client_certificate=certificate)) is None


def test_headers_count_from_the_front_proxy_alone(authority: CertificateAuthority) -> None:
    headers = CIMultiDict(
        [
            ("X-Remote-User", "alice"),
            ("X-Remote-Group", "devs"),
            ("X-Remote-Group", "ops"),
            ("X-Remote-Extra-Acme.com%2FProject", "p"),
        ]
    )
    method = RequestHeaders(authority.certificate, allowed_names=["proxy"])

    def ask(certificate: bytes | None) -> User | None:
        return method.authenticate_request(Request("GET", "/", headers=headers, client_certificate=certificate))

    user = ask(der(authority.issue_client("proxy").certificate))
    assert user == User("alice", ("devs", "ops", "system:authenticated"), "", (("acme.com/project", ("p",)),))
    assert ask(der(authority.issue_client("mallory").certificate)) is None
    assert ask(der(CertificateAuthority.create().issue_client("proxy").certificate)) is None
    assert ask(None) is None


def test_a_peer_alone_asks_for_more_than_a_ranges_capacity(authority: CertificateAuthority) -> None:
    method = RequestHeaders(authority.certificate, allowed_names=["shard", "gateway"], peers=["shard"])
    headers = {"x-remote-user": "root", "x-remote-group": "system:masters", "x-tenantry-beyond-capacity": "true"}

    def asked(certificate: bytes | None, sent: dict[str, str] = headers) -> bool:
        request = Request("POST", "/", headers=sent, client_certificate=certificate)
        method.authenticate_request(request)
        return request.beyond_capacity

    shard = der(authority.issue_client("shard").certificate)
    assert asked(shard)
    assert not asked(shard, {"x-remote-user": "root"})
    for name in ("gateway", "root"):
        assert not asked(der(authority.issue_client(name, ["system:masters"]).certificate))
    assert not asked(der(CertificateAuthority.create().issue_client("shard").certificate))
    assert not asked(None)


def test_token_file_errors(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    with pytest.raises(TokenFileError, match=r"tokens\.csv"):
        read_token_file(file)
    file.write_text("a,b\n")
    with pytest.raises(TokenFileError, match="line 1 must have at least 3 columns"):
        read_token_file(file)


async def test_admin_tokens_over_restarts(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "admin.kubeconfig"
    first = admin_tokens.prepare(tmp_path, kubeconfig)
    kubeconfig.write_text(f"users:\n- name: shard-admin\n  user: {{token: {first.shard_admin}}}\n")
    second = admin_tokens.prepare(tmp_path, kubeconfig)

    assert second.shard_admin == first.shard_admin
    assert second.kcp_admin != first.kcp_admin
    union = UnionAuthenticator(tokens=[StaticTokens(second.users())])
    assert (await union.authenticate(bearer(second.kcp_admin), None)).groups == ("system:kcp:admin", "system:authenticated")  # type: ignore[union-attr]
    assert (await union.authenticate(bearer(second.shard_admin), None)).is_master  # type: ignore[union-attr]
    kubeconfig.write_text("users: []\n")
    with pytest.raises(admin_tokens.AdminTokenError, match="put the kubeconfig back"):
        admin_tokens.prepare(tmp_path, kubeconfig)


def test_certificates_are_kept_and_renewed_for_other_names(tmp_path: Path) -> None:
    authority = CertificateAuthority.load_or_create(tmp_path)
    again = CertificateAuthority.load_or_create(tmp_path)
    assert again.certificate == authority.certificate
    certificate, key = authority.serving(tmp_path, ["localhost", "127.0.0.1"])
    first = certificate.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    again.serving(tmp_path, ["127.0.0.1"])
    assert certificate.read_bytes() == first
    again.serving(tmp_path, ["example.dev", "127.0.0.1"])
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["example.dev"]
    (tmp_path / "ca.key").unlink()
    with pytest.raises(CertificateError, match=r"ca\.key is missing"):
        CertificateAuthority.load_or_create(tmp_path)


@pytest.mark.parametrize(
    ("path", "is_anonymous"),
    [
        ("/livez", True),
        ("/clusters/root:a/livez", True),
        ("/livez/ping", False),
        ("/clusters/root/api", False),
        ("/clusters/livez", False),
        ("/services/x/livez", False),
        ("/", False),
    ],
)
async def test_anonymous_requests_of_some_paths(path: str, is_anonymous: bool) -> None:
    union = UnionAuthenticator(anonymous_paths=["/livez"])
    assert (await union.authenticate(Request("GET", path), None) == ANONYMOUS_USER) is is_anonymous
    assert (
        await union.authenticate(Request("GET", path, headers={"authorization": "Basic x"}), None) is None
    ) is not is_anonymous
    assert await UnionAuthenticator(anonymous=False, anonymous_paths=["/livez"]).authenticate(Request("GET", path), None) is None
