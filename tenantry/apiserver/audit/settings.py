"""The audit flags, with the names, defaults and meanings of kube-apiserver's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from tenantry.apiserver.audit.auditor import Auditor
from tenantry.apiserver.audit.delivery import BATCH, BLOCKING, MODES, Delivery, Pace
from tenantry.apiserver.audit.log_backend import FORMATS, JSON, LogBackend
from tenantry.apiserver.audit.log_file import LogFile
from tenantry.apiserver.audit.truncation import Truncation
from tenantry.apiserver.audit.webhook_backend import WebhookBackend
from tenantry.apiserver.duration_flags import seconds_of
from tenantry.apiserver.kubeconfig_file import KubeconfigError, read_endpoint
from tenantry.base.flags import SettingError, Settings, setting
from tenantry.http.calls import Calls
from tenantry.kube.audit.policy import PolicyError, load

logger = logging.getLogger(__name__)

_DEFAULT = "kube-apiserver's default"
_MODES = "batch: requests do not wait; blocking: they wait; blocking-strict: they fail where it is not stored"
_MEGABYTE = 1 << 20
_MANY = 1 << 31


@dataclass(frozen=True, kw_only=True)
class AuditSettings(Settings):
    """The flags of a process that records the requests to workspaces."""

    audit_policy_file: str = setting("", "audit.k8s.io/v1 Policy that says what is recorded of which request", "empty: no audit")
    audit_log_path: str = setting(
        "", "file to which audit events are appended; `-`: standard output", "empty: no audit log; each process needs its own"
    )
    audit_log_maxage: int = setting(366, "days for which old audit logs are kept; 0: no limit", _DEFAULT, bounds=(0, 36500))
    audit_log_maxbackup: int = setting(100, "old audit logs that are kept; 0: no limit", _DEFAULT, bounds=(0, _MANY))
    audit_log_maxsize: int = setting(
        100, "MiB of an audit log after which another one is begun; 0: it is not rotated", _DEFAULT, bounds=(0, _MANY)
    )
    audit_log_compress: bool = setting(False, "gzip old audit logs", _DEFAULT)
    audit_log_format: str = setting(JSON, "json, or legacy: one line of text without objects", _DEFAULT, choices=FORMATS)
    audit_log_mode: str = setting(BLOCKING, _MODES, _DEFAULT, choices=MODES)
    audit_log_batch_buffer_size: int = setting(
        10_000, "events that may wait for the audit log in mode batch; more are dropped and counted", _DEFAULT, bounds=(1, _MANY)
    )
    audit_log_truncate_enabled: bool = setting(False, "remove the objects of events that are too large", _DEFAULT)
    audit_log_truncate_max_event_size: int = setting(
        100 * 1024, "bytes of an event in the audit log, if they are truncated", _DEFAULT, bounds=(1, _MANY)
    )
    audit_log_truncate_max_batch_size: int = setting(
        10 * _MEGABYTE, "bytes of a batch for the audit log, if events are truncated", _DEFAULT, bounds=(1, _MANY)
    )

    audit_webhook_config_file: str = setting("", "kubeconfig of the server that gets audit events", "empty: no webhook")
    audit_webhook_mode: str = setting(BATCH, _MODES, _DEFAULT, choices=MODES)
    audit_webhook_initial_backoff: str = setting(
        "10s", "pause before the first failed request to the webhook is sent again", _DEFAULT
    )
    audit_webhook_batch_buffer_size: int = setting(
        10_000, "events that may wait for the webhook in mode batch; more are dropped and counted", _DEFAULT, bounds=(1, _MANY)
    )
    audit_webhook_batch_max_size: int = setting(400, "most events of a batch", _DEFAULT, bounds=(1, _MANY))
    audit_webhook_batch_max_wait: str = setting("30s", "longest wait for a batch to become full", _DEFAULT)
    audit_webhook_batch_throttle_enable: bool = setting(True, "bound the rate of batches", _DEFAULT)
    audit_webhook_batch_throttle_qps: float = setting(10.0, "batches in a second", _DEFAULT, bounds=(0.001, _MANY))
    audit_webhook_batch_throttle_burst: int = setting(15, "batches at once after a pause", _DEFAULT, bounds=(1, _MANY))
    audit_webhook_truncate_enabled: bool = setting(False, "remove the objects of events that are too large", _DEFAULT)
    audit_webhook_truncate_max_event_size: int = setting(
        100 * 1024, "bytes of an event for the webhook, if they are truncated", _DEFAULT, bounds=(1, _MANY)
    )
    audit_webhook_truncate_max_batch_size: int = setting(
        10 * _MEGABYTE, "bytes of a batch for the webhook, if events are truncated", _DEFAULT, bounds=(1, _MANY)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._truncation("log")
        self._truncation("webhook")
        _seconds("audit-webhook-initial-backoff", self.audit_webhook_initial_backoff)
        _seconds("audit-webhook-batch-max-wait", self.audit_webhook_batch_max_wait)

    def auditor(self) -> Auditor | None:
        """The audit of the process; None where nothing is recorded. Reads files. Raises SettingError."""
        if not self.audit_policy_file:
            if self.audit_log_path or self.audit_webhook_config_file:
                logger.warning("no request is recorded: audit events need a policy, --audit-policy-file")
            return None
        path = Path(self.audit_policy_file)
        try:
            policy = load(path.read_bytes())
        except OSError as error:
            raise SettingError(f"loading audit policy file: failed to read file path {str(path)!r}: {error}") from error
        except PolicyError as error:
            raise SettingError(f"loading audit policy file: {error}: from file {path}") from error
        if policy.unknown:
            logger.warning("the audit policy has unknown fields", extra={"file": str(path), "fields": list(policy.unknown)})
        deliveries = self._deliveries()
        if not deliveries:
            logger.warning("no request is recorded: the policy needs --audit-log-path or --audit-webhook-config-file")
            return None
        return Auditor(policy, deliveries)

    def _deliveries(self) -> list[Delivery]:
        deliveries: list[Delivery] = []
        if self.audit_log_path:
            file = LogFile(
                self.audit_log_path,
                bytes_max=self.audit_log_maxsize * _MEGABYTE,
                backups_max=self.audit_log_maxbackup,
                days_max=self.audit_log_maxage,
                compress=self.audit_log_compress,
            )
            try:
                file.open()
            except OSError as error:
                raise SettingError(f"--audit-log-path: {error}") from error
            backend = LogBackend(file, self.audit_log_format, self._truncation("log"))
            deliveries.append(Delivery(backend, self.audit_log_mode, Pace(buffered=self.audit_log_batch_buffer_size)))
        if self.audit_webhook_config_file:
            deliveries.append(self._webhook())
        return deliveries

    def _webhook(self) -> Delivery:
        try:
            endpoint = read_endpoint(Path(self.audit_webhook_config_file))
        except KubeconfigError as error:
            raise SettingError(f"initializing audit webhook: {error}") from error
        backoff = _seconds("audit-webhook-initial-backoff", self.audit_webhook_initial_backoff)
        backend = WebhookBackend(endpoint, Calls(), backoff_seconds=backoff, truncation=self._truncation("webhook"))
        pace = Pace(
            buffered=self.audit_webhook_batch_buffer_size,
            size=self.audit_webhook_batch_max_size,
            wait_seconds=_seconds("audit-webhook-batch-max-wait", self.audit_webhook_batch_max_wait),
            per_second=self.audit_webhook_batch_throttle_qps if self.audit_webhook_batch_throttle_enable else 0.0,
            burst=self.audit_webhook_batch_throttle_burst,
        )
        return Delivery(backend, self.audit_webhook_mode, pace)

    def _truncation(self, plugin: str) -> Truncation | None:
        event, batch = (getattr(self, f"audit_{plugin}_truncate_max_{what}_size") for what in ("event", "batch"))
        if batch < event:
            raise SettingError(
                f"invalid audit truncate {plugin} max batch size {batch}, must be greater than max event size ({event})"
            )
        return Truncation(event, batch) if getattr(self, f"audit_{plugin}_truncate_enabled") else None


def _seconds(flag_name: str, text: str) -> float:
    """A duration that may pass. Raises SettingError."""
    found = seconds_of(flag_name, text)
    if found < 0:
        raise SettingError(f'invalid argument "{text}" for "--{flag_name}" flag: must be greater than or equal to 0')
    return found
