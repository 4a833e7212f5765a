"""Flags of the audit that record nothing, or cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from shard.settings import ShardSettings
from tenantry.base.flags import SettingError
from tests.support.logged import logged

POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"


def test_a_half_of_the_flags_records_nothing_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert ShardSettings().auditor() is None
    assert logged(caplog) == []
    assert ShardSettings(audit_log_path=str(tmp_path / "audit.log")).auditor() is None
    assert ["--audit-policy-file" in record.getMessage() for record in logged(caplog)] == [True]
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    assert ShardSettings(audit_policy_file=str(policy)).auditor() is None
    assert "--audit-log-path" in logged(caplog)[-1].getMessage()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ten", 'invalid argument "ten" for "--audit-webhook-initial-backoff" flag'),
        ("10", 'invalid argument "10" for "--audit-webhook-initial-backoff" flag'),
        ("-1s", "must be greater than or equal to 0"),
    ],
)
def test_durations(text: str, why: str) -> None:
    with pytest.raises(SettingError, match=why):
        ShardSettings(audit_webhook_initial_backoff=text)
    assert ShardSettings(audit_webhook_initial_backoff="1m0.5s").audit_webhook_initial_backoff == "1m0.5s"
