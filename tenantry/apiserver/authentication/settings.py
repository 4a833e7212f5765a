"""The flags of authentication that kube-apiserver has, too, with its names, defaults and rules."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.duration_flags import seconds_of
from tenantry.base.flags import SettingError, Settings, each_listed, setting

_SIGNING_ALGORITHMS = "ES256,ES384,ES512,PS256,PS384,PS512,RS256,RS384,RS512"
_REVIEW_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, kw_only=True)
class JwtSettings(Settings):
    """JWTs of issuers: by a file, or of one issuer by flags."""

    authentication_config: str = setting(
        "",
        "AuthenticationConfiguration file: JWT issuers, and which requests may be anonymous; loaded again when it changes",
        "empty: the --oidc-* flags, if any",
    )
    oidc_issuer_url: str = setting("", "URL (https) of the OpenID issuer of accepted JWTs", "empty: none")
    oidc_client_id: str = setting("", "audience that its JWTs must have", "must be given with --oidc-issuer-url")
    oidc_ca_file: str = setting("", "CA in PEM of the issuer's server", "empty: the system's CAs")
    oidc_username_claim: str = setting("sub", "claim that is the user name", "kube-apiserver's default")
    oidc_username_prefix: str = setting(
        "", "prefix of user names; `-` for none", "empty: the issuer's URL and #, none for the claim `email`"
    )
    oidc_groups_claim: str = setting("", "claim that is the groups, a text or a list", "empty: no groups")
    oidc_groups_prefix: str = setting("", "prefix of groups", "kube-apiserver's default")
    oidc_required_claim: tuple[str, ...] = setting(
        (), "claim that a JWT must have, as key=value; may be repeated", "kube-apiserver's default"
    )
    oidc_signing_algs: str = setting(
        "RS256", f"signature algorithms that are accepted, separated by commas: {_SIGNING_ALGORITHMS}", "kube-apiserver's default"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = any(
            (
                self.oidc_issuer_url,
                self.oidc_client_id,
                self.oidc_ca_file,
                self.oidc_username_claim != "sub",
                self.oidc_username_prefix,
                self.oidc_groups_claim,
                self.oidc_groups_prefix,
                self.oidc_required_claim,
                self.oidc_signing_algs != "RS256",
            )
        )
        if given and self.authentication_config:
            raise SettingError("authentication-config file and oidc-* flags are mutually exclusive")
        if given and not (self.oidc_issuer_url and self.oidc_client_id):
            raise SettingError("oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set")
        self.required_claims()
        for name in self.signing_algorithms():
            if name not in _SIGNING_ALGORITHMS.split(","):
                raise SettingError(f'oidc: unsupported signing alg: "{name}"')

    def required_claims(self) -> dict[str, str]:
        """Claim → the value that it must have. Raises SettingError."""
        found = {}
        for pair in self.oidc_required_claim:
            claim, equals, value = pair.partition("=")
            if not equals:
                raise SettingError(f"--oidc-required-claim takes key=value, not {pair!r}")
            found[claim.strip()] = value.strip()
        return found

    def signing_algorithms(self) -> tuple[str, ...]:
        return each_listed((self.oidc_signing_algs,)) or ("RS256",)


@dataclass(frozen=True, kw_only=True)
class TokenWebhookSettings(Settings):
    """A server that reviews bearer tokens."""

    authentication_token_webhook_config_file: str = setting(
        "", "kubeconfig of a server that reviews bearer tokens (TokenReview)", "empty: none"
    )
    authentication_token_webhook_version: str = setting(
        "v1beta1", "version of the TokenReviews that are sent", "kube-apiserver's default", choices=_REVIEW_VERSIONS
    )
    authentication_token_webhook_cache_ttl: str = setting(
        "2m0s", "how long its answers are kept, as a Go duration", "kube-apiserver's default"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.token_webhook_seconds()

    def token_webhook_seconds(self) -> float:
        """How long answers are kept. Raises SettingError."""
        return seconds_of("authentication-token-webhook-cache-ttl", self.authentication_token_webhook_cache_ttl)


@dataclass(frozen=True, kw_only=True)
class FrontProxySettings(Settings):
    """A front proxy of the operator's, which names its callers in headers."""

    requestheader_client_ca_file: str = setting(
        "", "CA in PEM of the client certificates of front proxies, whose headers name their callers", "empty: there are none"
    )
    requestheader_allowed_names: tuple[str, ...] = setting(
        (), "common names of these certificates, separated by commas; may be repeated", "empty: every certificate of that CA"
    )
    requestheader_username_headers: tuple[str, ...] = setting(
        (),
        "headers with the user name, separated by commas; may be repeated",
        "as kube-apiserver; X-Remote-User is common",
    )
    requestheader_uid_headers: tuple[str, ...] = setting((), "headers with the uid", "as above; X-Remote-Uid")
    requestheader_group_headers: tuple[str, ...] = setting((), "headers with a group each", "as above; X-Remote-Group")
    requestheader_extra_headers_prefix: tuple[str, ...] = setting(
        (), "prefixes of headers with extra values", "as above; X-Remote-Extra-"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "requestheader_username_headers",
            "requestheader_uid_headers",
            "requestheader_group_headers",
            "requestheader_extra_headers_prefix",
            "requestheader_allowed_names",
        ):
            values: tuple[str, ...] = getattr(self, name)
            if any(not part.strip() for value in values for part in value.split(",")):
                raise SettingError(f'empty value in "{name.replace("_", "-")}"')
        uid_headers = each_listed(self.requestheader_uid_headers)
        if uid_headers and "x-remote-uid" not in map(str.lower, uid_headers):
            raise SettingError("--requestheader-uid-headers is set without specifying the standard X-Remote-Uid header")
