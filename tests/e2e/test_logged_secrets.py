"""Nothing that a client keeps secret is in a log of any level, in the audit log, in a metric, or in the text of an error."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from tests.e2e.fuzzing import made
from tests.support.api import CONFIG_MAPS, PATCHES, SECRETS, SERVICE_ACCOUNTS, config_map
from tests.support.forms import platform

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}]}
- {level: Metadata}
"""
WORD = "hunter2-very-private"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def test_no_log_has_them(form: str, tmp_path: Path, tokens: Path, unique: Callable[[str], str]) -> None:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text(POLICY)
    flags = ("--log-level", "debug", "--audit-policy-file", str(policy), "--audit-log-path", str(log), "--audit-log-maxsize", "0")
    with platform(form, tmp_path / "own", token_file=tokens, authentication=flags) as own:
        place = own.root.workspace(unique("logged"))
        encoded = base64.b64encode(WORD.encode()).decode()
        place.create(SECRETS, made("v1", "Secret", stringData={"password": WORD}))
        texts = [
            place.request("PATCH", f"{SECRETS}/a", {"data": {"password": f"{encoded}*"}}, content_type=PATCHES["merge"]).text,
            place.request("POST", SECRETS, f'{{"stringData":{{"a":"{WORD}"'.encode()).text,
            place.caller(WORD).request("GET", CONFIG_MAPS).text,
        ]
        # Its answer repeats the question.
        place.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", made(
            "authentication.k8s.io/v1", "TokenReview", spec={"token": WORD}
        )).expect(201)  # fmt: skip
        token = place.request("POST", f"{SERVICE_ACCOUNTS}/default/token", made(
            "authentication.k8s.io/v1", "TokenRequest", "default", spec={"expirationSeconds": 600}
        )).expect(201)["status"]["token"]  # fmt: skip
        assert place.caller(token).request("GET", CONFIG_MAPS).status in (200, 403)
        # A webhook that nobody answers is called with a Secret, and its failure is told.
        place.create(WEBHOOKS, made("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", webhooks=[{
            "name": "away.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:1/{WORD}"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}],
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }]))  # fmt: skip
        place.create(SECRETS, made("v1", "Secret", "b", stringData={"password": WORD}))
        place.create(CONFIG_MAPS, config_map("seen"))
        texts.append(own.masters.request("GET", "/metrics").text)
        logs = list(own.logs)
        written = {str(path): path.read_text() for path in (*logs, log)}
    # They are logs of this: what the policy asks for is there.
    assert '"seen"' in written[str(log)] and any(written[str(path)] for path in logs)
    for where, text in (*written.items(), *((f"answer {number}", text) for number, text in enumerate(texts))):
        for secret in (WORD, encoded, token, token.rpartition(".")[2], next(iter(_tokens(tokens)))):
            # As upstream's, an error tells who sent a wrong patch what it made, and its text is in the event.
            if secret != encoded or where in map(str, logs):
                assert secret not in text, f"{where}: …{text[max(0, text.index(secret) - 300) :][:400]}"


def _tokens(path: Path) -> list[str]:
    return [line.split(",")[0] for line in path.read_text().splitlines() if line]
