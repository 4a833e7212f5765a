"""`kubectl certificate approve`, and a kubeconfig with the certificate: its user gets into that workspace, and nowhere else."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.readme import README, blocks, follow
from tests.support.api import Api
from tests.support.forms import Platform, platform
from tests.support.requests_for_certificates import key_pem, request, signing_request
from tests.support.tools import program
from tests.support.waiting import wait_for

PAGE = README.parent / "docs" / "authentication.md"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NO_ENTRY = ("Unauthorized", "logged in to the server", "must be logged in")


class Kubectl:
    """kubectl with a kubeconfig of its own."""

    def __init__(self, folder: Path, user: dict[str, str], ca: str, server: str) -> None:
        self.kubeconfig = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": ca}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.kubeconfig.write_text(json.dumps(config))
        self.cache = folder / "cache"

    def run(self, *arguments: str, server: str = "", stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [
            program("kubectl", "it comes with kubernetes-client"),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.cache}",
        ]
        command += [f"--server={server}"] if server else []
        return subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, timeout=150, check=False)

    def __call__(self, *arguments: str, server: str = "", stdin: str | None = None) -> str:
        done = self.run(*arguments, server=server, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done.stdout


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def certified(place: Api, name: str) -> str:
    """The certificate that a request of this name gets, in base64."""
    wait_for(lambda: place.get(f"{CSRS}/{name}")["status"].get("certificate"), "a certificate is issued")
    return str(place.get(f"{CSRS}/{name}")["status"]["certificate"])


def test_a_certificate_opens_one_workspace(server: Platform, root: Api, unique: Callable[[str], str], tmp_path: Path) -> None:
    here, elsewhere = root.workspace(unique("certified")), root.workspace(unique("other"))
    admin = Kubectl(folder(tmp_path / "admin"), {"token": server.token()}, server.ca, here.url)
    for place in (here, elsewhere):
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        place.create(f"{RBAC}/clusterrolebindings", {"metadata": {"name": "devs"}, "roleRef": role, "subjects": [subject]})

    admin("create", "-f", "-", stdin=json.dumps(signing_request("carol", request("carol", ["devs"]), expirationSeconds=3600)))
    assert "Pending" in admin("get", "csr", "carol")
    admin("certificate", "approve", "carol")
    certificate = certified(here, "carol")
    assert "Approved,Issued" in admin("get", "csr", "carol")

    user = {"client-certificate-data": certificate, "client-key-data": b64encode(key_pem()).decode()}
    carol = Kubectl(folder(tmp_path / "carol"), user, server.ca, here.url)
    for origin in server.urls:
        at = f"{origin}/clusters/{here.name}"
        who = json.loads(carol("auth", "whoami", "-o", "json", server=at))["status"]["userInfo"]
        assert (who["username"], who["groups"]) == ("carol", ["devs", "system:authenticated"])
        assert carol("auth", "can-i", "*", "*", server=at).strip() == "yes"
        for other in (f"{origin}/clusters/{elsewhere.name}", f"{origin}/clusters/root", origin):
            refused = carol.run("get", "configmaps", server=other)
            assert refused.returncode != 0
            assert any(text in refused.stderr for text in NO_ENTRY), refused.stderr
    carol("create", "configmap", "mine", "--from-literal=a=b")
    managers = here.get("/api/v1/namespaces/default/configmaps/mine")["metadata"]["managedFields"]
    assert managers[0]["manager"].startswith("kubectl")

    # Who has rights by a certificate gives others such rights here, and only here.
    carol("create", "-f", "-", stdin=json.dumps(signing_request("dave", request("dave"))))
    assert here.get(f"{CSRS}/dave")["spec"]["username"] == "carol"
    carol("certificate", "deny", "dave")
    assert "Denied" in carol("get", "csr", "dave")


@pytest.mark.parametrize("group", ["system:masters", "system:kcp:admin"])
def test_no_certificate_makes_an_administrator(place: Api, group: str) -> None:
    body = signing_request("x", request("x", [group]))
    if group == "system:masters":
        answer = place.request("POST", CSRS, body).expect(403)
        assert "system:masters group is not allowed" in answer["message"]
        return
    place.create(CSRS, body)
    approved = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    place.patch(f"{CSRS}/x/approval", approved)
    wait_for(lambda: len(place.get(f"{CSRS}/x")["status"]["conditions"]) == 2, "the request failed")
    status = place.get(f"{CSRS}/x")["status"]
    assert status["conditions"][1]["reason"] == "SignerValidationFailure" and "certificate" not in status


def test_an_approved_request_of_another_signer_waits(place: Api) -> None:
    place.create(CSRS, signing_request("x", signerName="example.com/signer"))
    approved = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R"}]}}
    place.patch(f"{CSRS}/x/approval", approved)
    issued = {"status": {"certificate": b64encode(b64decode(certificate_of(place))).decode()}}
    assert place.patch(f"{CSRS}/x/status", issued)["status"]["certificate"] == issued["status"]["certificate"]


def certificate_of(place: Api) -> str:
    """Some certificate: that of the cluster's own authority."""
    published = place.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt")["data"]["ca.crt"]
    return b64encode(published.encode()).decode()


def test_the_commands_on_the_page(form: str, tmp_path: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    program("openssl", "it comes with openssl")
    checkout = tmp_path / "checkout"
    (checkout / ".tenantry").mkdir(parents=True)
    with platform(form, tmp_path) as running:
        # The page writes to it.
        (checkout / ".tenantry" / "admin.kubeconfig").write_bytes(running.kubeconfig.read_bytes())
        follow(blocks(page=PAGE), checkout)
