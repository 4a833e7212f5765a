"""The kubeconfigs of webhooks."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantry.apiserver.kubeconfig_file import BYTES_MAX, Endpoint, KubeconfigError, read_endpoint
from tenantry.http.certificates import CertificateAuthority


def written(folder: Path, user: dict[str, Any], **cluster: Any) -> Path:
    path = folder / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://hook.example/x", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_credentials(tmp_path: Path) -> None:
    assert read_endpoint(written(tmp_path, {})).headers == {}
    assert read_endpoint(written(tmp_path, {"token": "t"})).headers == {"Authorization": "Bearer t"}
    (tmp_path / "token").write_text("of a file\n")
    found = read_endpoint(written(tmp_path, {"tokenFile": "token"}))
    assert found.headers == {"Authorization": "Bearer of a file"} and "of a file" not in repr(found)
    basic = read_endpoint(written(tmp_path, {"username": "us", "password": "p"})).headers["Authorization"]
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"us:p"


def test_certificates_beside_the_file_and_in_it(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    pair = authority.issue_client("us")
    pair.write(tmp_path / "us.crt", tmp_path / "us.key")
    files = read_endpoint(
        written(
            tmp_path,
            {"client-certificate": "us.crt", "client-key": "us.key"},
            **{"certificate-authority": "ca.crt", "tls-server-name": "n"},
        )
    )
    assert files.server_name == "n" and len(files.tls.get_ca_certs()) == 1
    data = read_endpoint(
        written(
            tmp_path,
            {
                "client-certificate-data": base64.b64encode(pair.certificate).decode(),
                "client-key-data": base64.b64encode(pair.key).decode(),
            },
            **{"certificate-authority-data": base64.b64encode(authority.certificate).decode()},
        )
    )
    assert len(data.tls.get_ca_certs()) == 1
    assert not files.has_changed() or files.files[0][0].name == "kubeconfig"


def test_changes_are_seen(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    found: Endpoint = read_endpoint(written(tmp_path, {"tokenFile": "token"}))
    assert not found.has_changed()
    (tmp_path / "token").write_text("another")
    assert found.has_changed()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[]", "it is no kubeconfig"),
        ("a: [", "ParserError"),
        ("clusters: []", "it does not say which of its contexts is the current one"),
        ("current-context: x", 'it has no context "x"'),
        ("{current-context: x, contexts: 1.5}", "its contexts are no list"),
        ("{current-context: x, contexts: true}", "its contexts are no list"),
        ("{current-context: x, contexts: {x: {}}}", "its contexts are no list"),
        ("x" * (BYTES_MAX + 1), f"the file has more than {BYTES_MAX} bytes"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(KubeconfigError) as caught:
        read_endpoint(path)
    assert text in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("user", "cluster", "text"),
    [
        ({"exec": {"command": "x"}}, {}, "its user has exec, which is not supported"),
        ({"token": "a\nb"}, {}, "its token has characters that a header cannot have"),
        ({"token": 3}, {}, "its token is no text"),
        ({"tokenFile": "none"}, {}, "No such file or directory"),
        ({}, {"server": "file:///x"}, "no server with an http or https URL"),
        ({}, {"certificate-authority-data": "!"}, "cannot use the kubeconfig"),
        ({}, {"certificate-authority-data": "AAAA"}, "cannot use the kubeconfig"),
    ],
)
def test_parts_that_cannot_be_used(tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], text: str) -> None:
    with pytest.raises(KubeconfigError) as caught:
        read_endpoint(written(tmp_path, user, **cluster))
    assert text in str(caught.value)
