"""The flags of authorization that kube-apiserver has, too, with its names, defaults and rules."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.duration_flags import seconds_of
from tenantry.base.flags import SettingError, Settings, setting


@dataclass(frozen=True, kw_only=True)
class AuthorizationSettings(Settings):
    """Which authorizers are asked beside RBAC."""

    authorization_config: str = setting(
        "",
        "AuthorizationConfiguration file: which authorizers are asked, in which order; loaded again when it changes",
        "empty: RBAC, and then the webhook of --authorization-webhook-config-file, if any",
    )
    authorization_webhook_config_file: str = setting(
        "", "kubeconfig of a server that reviews access (SubjectAccessReview), asked after RBAC", "empty: none"
    )
    authorization_webhook_version: str = setting(
        "v1beta1", "version of the SubjectAccessReviews that are sent", "kube-apiserver's default", choices=("v1", "v1beta1")
    )
    authorization_webhook_cache_authorized_ttl: str = setting(
        "5m0s", "how long an answer that allows is kept, as a Go duration", "kube-apiserver's default"
    )
    authorization_webhook_cache_unauthorized_ttl: str = setting(
        "30s", "how long any other answer is kept, as a Go duration", "kube-apiserver's default"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = (
            self.authorization_webhook_config_file
            or self.authorization_webhook_version != "v1beta1"
            or self.authorization_webhook_cache_authorized_ttl != "5m0s"
            or self.authorization_webhook_cache_unauthorized_ttl != "30s"
        )
        if given and self.authorization_config:
            raise SettingError("--authorization-config cannot be specified when --authorization-webhook-* flags are defined")
        self.webhook_seconds()

    def webhook_seconds(self) -> tuple[float, float]:
        """How long the webhook's answers are kept: those that allow, and others. Raises SettingError."""
        return (
            seconds_of("authorization-webhook-cache-authorized-ttl", self.authorization_webhook_cache_authorized_ttl),
            seconds_of("authorization-webhook-cache-unauthorized-ttl", self.authorization_webhook_cache_unauthorized_ttl),
        )
