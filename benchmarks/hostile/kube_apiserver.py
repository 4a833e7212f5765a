"""kube-apiserver on its own etcd, built from its Go module, to compare the effect of the attacks."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tenantry.http.certificates import CertificateAuthority
from tests.support.etcd import EtcdServer
from tests.support.waiting import wait_for
from tools.child import Child
from tools.kubernetes_module import VERSION, build, cached
from tools.ports import free_port

PROGRAM = "KUBE_APISERVER"
"""The environment variable with the path of a program to use instead of building one."""
START_SECONDS_MAX = 120.0
_MAIN = """package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
"""


def is_built() -> bool:
    """Whether a program is here already."""
    return bool(os.environ.get(PROGRAM)) or cached("kube-apiserver").exists()


def missing() -> str | None:
    """The reason why kube-apiserver cannot run here; None if it can."""
    if is_built() or shutil.which("go"):
        return None
    return f"Go is not installed, and {PROGRAM} names no kube-apiserver"


def program() -> Path:
    """The path of the program. On a machine's first run it is built, which takes about ten minutes. Raises BuildFailed."""
    given = os.environ.get(PROGRAM)
    if given:
        return Path(given)
    found = cached("kube-apiserver")
    if not found.exists():
        stamp = f"-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}"
        build(found, _MAIN, ("build", "-trimpath", "-ldflags", stamp, "."))
    return found


@dataclass(frozen=True, slots=True)
class KubeApiserver:
    url: str
    ca: Path
    process: Child
    etcd: EtcdServer


class _Child(Child):
    def start(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)


@contextmanager
def kube_apiserver(root: Path, tokens: Path) -> Iterator[KubeApiserver]:
    """A kube-apiserver that serves the users of a token file, with default settings. `root`: directory for its files and etcd's
    data."""
    root.mkdir(parents=True, exist_ok=True)
    authority = CertificateAuthority.load_or_create(root / "pki")
    certificate, key = authority.serving(root / "pki", ["127.0.0.1"])
    signing, verifying = root / "pki" / "ca.key", root / "pki" / "ca.pub"
    # kube-apiserver can sign with an EC key in PKCS#8, but it cannot verify with a private key file in that format.
    loaded = x509.load_pem_x509_certificate((root / "pki" / "ca.crt").read_bytes())
    verifying.write_bytes(loaded.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    etcd = EtcdServer(directory=root)
    port = free_port()
    child = _Child("kube-apiserver", root / "kube-apiserver.log")
    url = f"https://127.0.0.1:{port}"
    trusted = ssl.create_default_context(cafile=str(root / "pki" / "ca.crt"))
    try:
        etcd.start()
        child.start(
            [
                str(program()),
                f"--etcd-servers={etcd.url}",
                f"--secure-port={port}",
                "--bind-address=127.0.0.1",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={signing}",
                f"--service-account-key-file={verifying}",
                # No controller creates the service accounts and tokens for which this plugin would wait.
                "--disable-admission-plugins=ServiceAccount",
            ]
        )

        def ready() -> bool:
            assert child.running, f"kube-apiserver ended: {child.log.read_text()[-3000:]}"
            try:
                with urllib.request.urlopen(f"{url}/readyz", context=trusted, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_for(ready, "kube-apiserver serves", START_SECONDS_MAX)
        yield KubeApiserver(url, root / "pki" / "ca.crt", child, etcd)
    finally:
        child.kill()
        etcd.stop()
