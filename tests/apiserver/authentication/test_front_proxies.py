"""Front proxies of the operator's: whose headers count, and that nobody else's do."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from multidict import CIMultiDict

from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.client_authority import ClientAuthority
from tenantry.apiserver.authentication.client_certificate import RequestHeaders
from tenantry.apiserver.authentication.front_proxies import FrontProxies, front_proxies
from tenantry.apiserver.authentication.settings import FrontProxySettings
from tenantry.apiserver.callers import ApiCallers
from tenantry.apiserver.forwarded import request_head
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.base.flags import SettingError
from tenantry.http.certificates import CertificateAuthority, CertificateError, Pair
from tenantry.http.renewal import Certificates

PLATFORM, PROXIES = CertificateAuthority.create(), CertificateAuthority.create("front-proxies")
FLAGS = {
    "requestheader_username_headers": ("X-Remote-User", "X-My-User,X-Your-User"),
    "requestheader_group_headers": ("X-My-Group",),
    "requestheader_uid_headers": ("X-Remote-Uid",),
    "requestheader_extra_headers_prefix": ("X-My-Extra-",),
}


def proxies(folder: Path, ca: bytes = PROXIES.certificate, **flags: tuple[str, ...]) -> FrontProxies:
    path = folder / "front.crt"
    path.write_bytes(ca)
    settings = FrontProxySettings(requestheader_client_ca_file=str(path), **{**FLAGS, **flags})
    own = RequestHeaders(PLATFORM.certificate, allowed_names=common_names.FRONT_PROXIES)
    found = front_proxies(settings, Certificates(PLATFORM), ClientAuthority(PLATFORM.certificate), own=own)
    assert found is not None
    return found


def asked(pair: Pair | None, **headers: str) -> Request:
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.decode()) if pair is not None else None
    given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Request("GET", "/api", headers=given, client_certificate=der)


async def test_headers_name_the_caller(tmp_path: Path) -> None:
    found = proxies(tmp_path)
    pair = PROXIES.issue_client("proxy")
    request = asked(pair, X_My_User="pat", X_My_Group="dev", X_Remote_Uid="u", X_My_Extra_A="b", X_Remote_Group="ignored")
    assert found.headers.authenticate_request(request) == User("pat", ("dev", "system:authenticated"), "u", (("a", ("b",)),))
    # The first of the headers that is there.
    both = asked(pair, X_Your_User="second", X_Remote_User="first")
    user = found.headers.authenticate_request(both)
    assert user is not None and user.name == "first"
    assert ApiCallers(headers=(found.headers,)).of(both).owners != ()


async def test_whose_headers_count(tmp_path: Path) -> None:
    found = proxies(tmp_path, requestheader_allowed_names=("proxy, other",))
    for pair, counts in (
        (PROXIES.issue_client("proxy"), True),
        (PROXIES.issue_client("other"), True),
        (PROXIES.issue_client("third"), False),
        (PLATFORM.issue_client("proxy"), False),
        (PLATFORM.issue_client(common_names.GATEWAY), False),
        (None, False),
    ):
        assert (found.headers.authenticate_request(asked(pair, X_My_User="pat")) is not None) is counts


async def test_the_platforms_own_servers_are_no_front_proxies(tmp_path: Path) -> None:
    """Whatever a client sends through a gateway arrives with the gateway's certificate."""
    found = proxies(tmp_path, ca=PLATFORM.certificate, requestheader_allowed_names=("proxy", *common_names.FRONT_PROXIES))
    for name in common_names.FRONT_PROXIES:
        pair = PLATFORM.issue_client(name)
        assert found.headers.authenticate_request(asked(pair, X_My_User="pat", X_My_Group="system:masters")) is None
        assert not found.headers.trusts(asked(pair).client_certificate or b"")
    assert found.headers.authenticate_request(asked(PLATFORM.issue_client("proxy"), X_My_User="pat")) is not None


async def test_gateways_do_not_pass_the_headers_on(tmp_path: Path) -> None:
    found = proxies(tmp_path)
    request = asked(None, X_My_User="pat", x_my_GROUP="system:masters", X_My_Extra_A="b", X_Remote_Uid="u", X_Other="stays")
    head = request_head(request, None, length=None, hidden=found.headers.has).decode().lower()
    assert "x-other: stays" in head
    assert not any(name in head for name in ("x-my-user", "x-my-group", "x-my-extra-a", "x-remote-uid"))


async def test_a_ca_that_is_that_of_clients_too(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="contain overlapping certificates; --requestheader-allowed-names must be specified"):
        proxies(tmp_path, ca=PLATFORM.certificate)
    proxies(tmp_path, ca=PLATFORM.certificate, requestheader_allowed_names=("proxy",))
    with pytest.raises(CertificateError, match=r"--requestheader-client-ca-file: cannot use .*front\.crt"):
        proxies(tmp_path, ca=b"nothing")


async def test_a_changed_ca(tmp_path: Path) -> None:
    found = proxies(tmp_path)
    later = CertificateAuthority.create("later")
    (tmp_path / "front.crt").write_bytes(later.certificate)
    await found.authority.renew(0.0)
    assert found.headers.authenticate_request(asked(later.issue_client("x"), X_My_User="pat")) is not None
    assert found.headers.authenticate_request(asked(PROXIES.issue_client("x"), X_My_User="pat")) is None


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"requestheader_username_headers": ("X-Remote-User,",)}, 'empty value in "requestheader-username-headers"'),
        ({"requestheader_allowed_names": (" ",)}, 'empty value in "requestheader-allowed-names"'),
        ({"requestheader_uid_headers": ("X-My-Uid",)}, "without specifying the standard X-Remote-Uid header"),
    ],
)
def test_flags_that_cannot_be_used(flags: dict[str, tuple[str, ...]], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        FrontProxySettings(**flags)  # type: ignore[arg-type]
