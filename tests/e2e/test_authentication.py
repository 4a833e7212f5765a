"""Logins of an OpenID issuer, webhooks that review tokens, and front proxies, on real processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tenantry.http.certificates import CertificateAuthority
from tests.e2e.people import bind
from tests.support.api import CONFIG_MAPS, NAMESPACES, RBAC, WORKSPACES, Api
from tests.support.forms import Platform, platform
from tests.support.https_servers import Answer, HttpsServer, TokenIssuerServer
from tests.support.tools import kubectls, program
from tests.support.waiting import wait_for

SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
SELF_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuerServer]:
    with TokenIssuerServer() as server:
        yield server


def configuration(issuer: TokenIssuerServer, prefix: str = "oidc:", **more: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [
                {
                    "issuer": {"url": issuer.url, "audiences": ["tenantry"], "certificateAuthority": issuer.ca},
                    "claimMappings": {
                        "username": {"claim": "email", "prefix": prefix},
                        "groups": {"expression": "claims.?groups.orValue([])"},
                    },
                    "claimValidationRules": [{"expression": "claims.?hd.orValue('') == 'example'", "message": "wrong domain"}],
                    "userValidationRules": [{"expression": "!user.username.startsWith('system:')"}],
                }
            ],
            **more,
        }
    )


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory, issuer: TokenIssuerServer) -> Path:
    path = tmp_path_factory.mktemp("authentication") / "config.yaml"
    path.write_text(configuration(issuer))
    return path


@pytest.fixture(scope="module")
def own(form: str, tmp_path_factory: pytest.TempPathFactory, config_file: Path) -> Iterator[Platform]:
    flags = ("--authentication-config", str(config_file))
    with platform(form, tmp_path_factory.mktemp("own"), authentication=flags) as running:
        yield running


def grant(place: Api, *, user: str = "", group: str = "") -> None:
    """Access to the workspace, and to its ConfigMaps."""
    subject = {"kind": "User" if user else "Group", "name": user or group, "apiGroup": "rbac.authorization.k8s.io"}
    rules = [
        {"nonResourceURLs": ["/"], "verbs": ["access"]},
        {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["*"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
    ]
    place.create(f"{RBAC}/clusterroles", {"metadata": {"name": "logins"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "logins"}
    place.create(f"{RBAC}/clusterrolebindings", {"metadata": {"name": "logins"}, "roleRef": role, "subjects": [subject]})


def claims(name: str = "ann", **more: Any) -> dict[str, Any]:
    return {"email": f"{name}@example.com", "hd": "example", **more}


def test_a_login_works_in_a_workspace_by_rbac(own: Platform, issuer: TokenIssuerServer, unique: Any) -> None:
    place = own.root.workspace(unique("login"))
    token = issuer.token(**claims(groups=["dev", "ops"]))
    login = place.caller(token)
    assert login.request("GET", CONFIG_MAPS).status == 403
    grant(place, group="dev")
    wait_for(lambda: login.request("GET", CONFIG_MAPS).status == 200)
    user = login.request("POST", SELF_REVIEWS, SELF_REVIEW).expect(201)["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("oidc:ann@example.com", ["dev", "ops", "system:authenticated"])
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status = place.request("POST", TOKEN_REVIEWS, review).expect(201)["status"]
    assert status["authenticated"] is True and status["user"]["username"] == "oidc:ann@example.com"


def test_kubectl_with_a_login(own: Platform, issuer: TokenIssuerServer, unique: Any, tmp_path: Path) -> None:
    place = own.root.workspace(unique("kubectl"))
    grant(place, user="oidc:ann@example.com")
    kubectl = [
        (kubectls() or [program("kubectl", "it comes with kubernetes-client")])[-1],
        f"--server={place.url}",
        f"--certificate-authority={own.ca}",
        f"--token={issuer.token(**claims())}",
        f"--cache-dir={tmp_path}",
    ]

    def ran() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*kubectl, "get", "namespaces", "-o", "name"], capture_output=True, text=True, timeout=60, check=False
        )

    wait_for(lambda: ran().returncode == 0)
    assert "namespace/default" in ran().stdout


@pytest.mark.views
def test_a_login_in_a_view(own: Platform, issuer: TokenIssuerServer, unique: Any) -> None:
    place = own.root.workspace(unique("view"))
    team = place.workspace("team")
    bind(team, {"kind": "User", "name": "oidc:ann@example.com"}, "cluster-admin", name="ann")
    mine = place.at(f"/services/workspaces/{place.name}").caller(issuer.token(**claims()))
    wait_for(lambda: [item["metadata"]["name"] for item in mine.items(WORKSPACES)] == ["team"])
    refused = mine.caller(issuer.token(aud="else", **claims()))
    assert refused.request("GET", WORKSPACES).status == 401


def test_tokens_that_are_refused(own: Platform, issuer: TokenIssuerServer) -> None:
    place = own.root
    for token in (
        issuer.token(iss="https://else.where", **claims()),
        issuer.token(key=rsa.generate_private_key(65537, 2048), **claims()),
        issuer.token(**{**claims(), "hd": "else"}),
        issuer.token(exp=5, **claims()),
        issuer.token(aud="else", **claims()),
    ):
        answer = place.caller(token).request("GET", NAMESPACES)
        assert (answer.status, answer.object["message"]) == (401, "Unauthorized")
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": issuer.token(**{**claims(), "hd": "else"})},
    }
    status = place.request("POST", TOKEN_REVIEWS, review).expect(201)["status"]
    rule = "claims.?hd.orValue('') == 'example'"
    assert status["error"] == (
        "[invalid bearer token, oidc: error evaluating claim validation expression: "
        f"validation expression '{rule}' failed: wrong domain]"
    )


def test_a_rotated_key(own: Platform, issuer: TokenIssuerServer, unique: Any) -> None:
    place = own.root.workspace(unique("rotated"))
    grant(place, user="oidc:ann@example.com")
    issuer.keys["second"] = rsa.generate_private_key(65537, 2048)
    login = place.caller(issuer.token(key_id="second", **claims()))
    wait_for(lambda: login.request("GET", CONFIG_MAPS).status == 200)


def test_a_changed_configuration(own: Platform, issuer: TokenIssuerServer, config_file: Path, unique: Any) -> None:
    place = own.root.workspace(unique("changed"))
    grant(place, user="new:ann@example.com")
    login = place.caller(issuer.token(**claims()))
    assert login.request("GET", CONFIG_MAPS).status == 403
    try:
        config_file.write_text("this: is none")
        config_file.write_text(configuration(issuer, prefix="new:"))
        wait_for(lambda: login.request("GET", CONFIG_MAPS).status == 200)
    finally:
        config_file.write_text(configuration(issuer))
    wait_for(lambda: login.request("GET", CONFIG_MAPS).status == 403)


def reviewed(path: str, body: Any) -> Answer:
    """A webhook that knows the tokens `webhook-<name>`."""
    token = body["spec"]["token"]
    status: dict[str, Any] = {"authenticated": False, "error": "never seen"}
    if token.startswith("webhook-"):
        user = {"username": token.removeprefix("webhook-"), "groups": ["hooked"], "extra": {"example.com/a": ["b"]}}
        status = {"authenticated": True, "user": user}
    return 200, {"apiVersion": body["apiVersion"], "kind": "TokenReview", "status": status}


def test_a_webhook_reviews_tokens(form: str, tmp_path: Path, unique: Any) -> None:
    with HttpsServer(reviewed) as webhook:
        config = webhook.kubeconfig(tmp_path / "webhook.kubeconfig", token="of-the-server")
        flags = ("--authentication-token-webhook-config-file", str(config), "--authentication-token-webhook-version", "v1")
        with platform(form, tmp_path, authentication=flags) as own:
            place = own.root.workspace("hooked")
            grant(place, group="hooked")
            login = place.caller("webhook-joe")
            wait_for(lambda: login.request("GET", CONFIG_MAPS).status == 200)
            user = login.request("POST", SELF_REVIEWS, SELF_REVIEW).expect(201)["status"]["userInfo"]
            assert (user["username"], user["extra"]["example.com/a"]) == ("joe", ["b"])
            assert place.caller("unknown").request("GET", CONFIG_MAPS).status == 401
            path, body, headers = webhook.requests[0]
            assert (path, headers["authorization"]) == ("/review", "Bearer of-the-server")
            assert body["apiVersion"] == "authentication.k8s.io/v1"
            assert body["spec"]["audiences"] == ["https://kcp.default.svc"]


def test_a_front_proxy_names_its_callers(form: str, tmp_path: Path) -> None:
    authority = CertificateAuthority.create("front-proxies")
    ca = tmp_path / "front.crt"
    ca.write_bytes(authority.certificate)
    proxy, other = (tmp_path / name for name in ("proxy", "other"))
    for path in (proxy, other):
        authority.issue_client(path.name).write(path.with_suffix(".crt"), path.with_suffix(".key"))
    flags = (
        *("--requestheader-client-ca-file", str(ca)),
        *("--requestheader-allowed-names", "proxy"),
        *("--requestheader-username-headers", "X-Remote-User,X-My-User"),
        *("--requestheader-group-headers", "X-Remote-Group"),
        *("--requestheader-extra-headers-prefix", "X-Remote-Extra-"),
    )
    with platform(form, tmp_path, front_proxies=flags) as own:
        place = own.root.workspace("proxied")
        grant(place, user="pat")

        def seen(header: str, *more: str, path: Path | None = proxy) -> str:
            certificate = ("--cert", f"{path}.crt", "--key", f"{path}.key") if path is not None else ()
            asked = ["curl", "-s", "--cacert", own.ca, *certificate, "-H", header]
            for each in more:
                asked += ["-H", each]
            body = ("-H", "Content-Type: application/json", "-d", json.dumps(SELF_REVIEW))
            answer = subprocess.run(
                [*asked, *body, f"{place.url}{SELF_REVIEWS}"], capture_output=True, text=True, timeout=60, check=True
            )
            found = json.loads(answer.stdout)
            return str(found["status"]["userInfo"]["username"] if found["kind"] == "SelfSubjectReview" else found["code"])

        wait_for(lambda: seen("X-Remote-User: pat") == "pat")
        assert seen("X-My-User: pat", "X-Remote-Group: any") == "pat"
        # The headers count for no other certificate, and for none at all.
        assert seen("X-Remote-User: pat", path=other) == "403"
        assert seen("X-My-User: pat", path=None) == "403"
        assert seen("X-Remote-User: pat", "X-Remote-Group: system:masters", path=None) == "403"
        assert seen("X_Remote_User: pat", "X-Remote_Group: system:masters", path=None) == "403"


def test_anonymous_requests_by_path(form: str, tmp_path: Path, issuer: TokenIssuerServer) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(configuration(issuer, anonymous={"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/version"}]}))
    with platform(form, tmp_path, authentication=("--authentication-config", str(path))) as own:
        nobody = Api(own.url, own.ca, "")
        assert nobody.request("GET", "/clusters/root/version").status in (200, 403)
        assert nobody.request("GET", "/clusters/root/api").status == 401
        assert own.masters.request("GET", "/clusters/root/api").status == 200
