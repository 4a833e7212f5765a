"""Certificates that live for seconds: a platform goes on for longer than any of them, without a restart."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from tests.support.api import CONFIG_MAPS, config_map
from tests.support.forms import Platform, platform
from tests.support.pace import stretch
from tests.support.waiting import wait_for

LIFE_SECONDS = 8
"""Of a certificate, where starting a process takes a fraction of a second; the command that shows one at the end starts, too."""
STRETCH_MAX = 4.0


def test_a_platform_outlives_its_certificates(form: str, tmp_path: Path) -> None:
    with platform(form, tmp_path, certificate_life_seconds=round(LIFE_SECONDS * min(stretch(), STRETCH_MAX))) as own:
        place = own.root.workspace("one")
        ports = [urlsplit(url).port or 0 for url in own.urls]
        ports.append(int(json.loads((own.access / "run.json").read_text())["gateway"].rpartition(":")[2]))
        first = [shown(own, port) for port in ports]
        lookup = own.access / "pki" / "lookup-client.crt"
        first.append(x509.load_pem_x509_certificate(lookup.read_bytes()))
        last_end = max(certificate.not_valid_after_utc for certificate in first).timestamp()
        written = 0

        def all_have_ended() -> bool:
            nonlocal written
            written += 1
            place.create(CONFIG_MAPS, config_map(f"c{written}"))
            return time.time() > last_end

        wait_for(all_have_ended)
        # Requests to all front proxies, whose pools of connections have been in use all the time.
        assert len(place.items(CONFIG_MAPS)) >= written
        now = [shown(own, port) for port in ports]
        now.append(x509.load_pem_x509_certificate(lookup.read_bytes()))
        for new, old in zip(now, first, strict=True):
            assert new.serial_number != old.serial_number
            assert new.not_valid_after_utc.timestamp() > time.time()
        asked = [sys.executable, "-m", "tenantry.cli.main", "resolve", "root:one", "--root-directory", str(own.access)]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=150, check=False)
        assert answer.returncode == 0, answer.stderr


def shown(own: Platform, port: int) -> x509.Certificate:
    """What a server shows to who connects now."""
    context = ssl.create_default_context(cafile=own.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        der = connection.getpeercert(True)
    assert der is not None
    return x509.load_der_x509_certificate(der)
