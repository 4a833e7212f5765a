"""What is wrong with an AuthenticationConfiguration, in kube-apiserver's words, and its compiled expressions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from cryptography import x509

from tenantry.kube import field_errors
from tenantry.kube.domain_paths import domain_path_errors
from tenantry.kube.field_errors import invalid, required
from tenantry.kube.schema import go_url
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_types import BOOL, STRING, Type, map_of
from tenantry.kube.server_configuration.authentication import (
    AuthenticationConfiguration,
    ExtraMapping,
    Issuer,
    JwtAuthenticator,
    Mapping,
)
from tenantry.kube.server_configuration.expressions import (
    TEXT,
    TEXTS,
    TEXTS_BY_NAME,
    Environment,
    Expression,
    environment,
    struct,
)
from tenantry.kube.status import FieldError

ISSUERS_MAX = 64
CLAIMS = Environment("claims", map_of(STRING, Type("any")), {})
USER = environment("user", struct("UserInfo", username=TEXT, uid=TEXT, groups=TEXTS, extra=TEXTS_BY_NAME))
_MATCH_ANY = "MatchAny"
_BOTH = "claim and expression can't both be set"
_EGRESS_TYPES = ("controlplane", "cluster")
_RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")
_EMAIL_VERIFIED = (
    "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or "
    "claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
)


@dataclass(slots=True, kw_only=True)
class CompiledMappings:
    """The expressions of one issuer. None or empty: there is none. The lists are in the order of the configuration; `messages`
    are those of the rules."""

    username: Expression | None = None
    groups: Expression | None = None
    uid: Expression | None = None
    extra: tuple[tuple[ExtraMapping, Expression], ...] = ()
    claim_rules: tuple[tuple[Expression, str], ...] = ()
    user_rules: tuple[tuple[Expression, str], ...] = ()


def validate(configuration: AuthenticationConfiguration, reserved_issuers: Collection[str]) -> list[FieldError]:
    """`reserved_issuers`: those of service account tokens."""
    if len(configuration.jwt) > ISSUERS_MAX:
        count = len(configuration.jwt)
        return [FieldError("TooMany", "jwt", f"Too many: {count}: must have at most {ISSUERS_MAX} items")]
    errors: list[FieldError] = []
    urls, discovery_urls = _Seen(), _Seen()
    for index, authenticator in enumerate(configuration.jwt):
        path, issuer = f"jwt[{index}]", authenticator.issuer
        errors += compile_authenticator(authenticator, f"{path}.", reserved_issuers)[1]
        errors += urls.repeated(f"{path}.issuer.url", issuer.url)
        if issuer.discovery_url:
            errors += discovery_urls.repeated(f"{path}.issuer.discoveryURL", issuer.discovery_url)
    anonymous = configuration.anonymous
    if anonymous is not None and not anonymous.enabled and anonymous.paths:
        shown = [{"Path": path} for path in anonymous.paths]
        errors.append(invalid("anonymous.conditions", shown, "enabled should be set to true when conditions are defined"))
    return errors


def compile_authenticator(
    authenticator: JwtAuthenticator, at: str = "", reserved_issuers: Collection[str] = ()
) -> tuple[CompiledMappings, list[FieldError]]:
    """The expressions of one issuer, and what is wrong with its configuration. `at`: its path with a dot at the end."""
    errors = list(_issuer(authenticator.issuer, f"{at}issuer", reserved_issuers))
    compiling = _Compiling(authenticator, at, errors)
    compiling.claim_rules()
    compiling.mappings()
    compiling.user_rules()
    return compiling.made, errors


class _Seen:
    def __init__(self) -> None:
        self._values: set[str] = set()

    def repeated(self, path: str, value: str) -> list[FieldError]:
        if value in self._values:
            return [field_errors.duplicate(path, value)]
        self._values.add(value)
        return []


def _issuer(issuer: Issuer, path: str, reserved: Collection[str]) -> Iterable[FieldError]:
    if not issuer.url:
        yield required(f"{path}.url")
    else:
        yield from _url(issuer.url, f"{path}.url", reserved)
    if issuer.discovery_url:
        at = f"{path}.discoveryURL"
        if issuer.url and issuer.url.rstrip("/") == issuer.discovery_url.rstrip("/"):
            yield invalid(at, issuer.discovery_url, "discoveryURL must be different from URL")
        yield from _url(issuer.discovery_url, at, ())
    yield from _audiences(issuer, path)
    if issuer.certificate_authority and (problem := _authority_problem(issuer.certificate_authority)):
        yield invalid(f"{path}.certificateAuthority", "<omitted>", problem)
    if issuer.egress_selector_type:
        at = f"{path}.egressSelectorType"
        if issuer.egress_selector_type in _EGRESS_TYPES:
            yield invalid(at, issuer.egress_selector_type, "this server has no egress selector configuration")
        else:
            yield invalid(at, issuer.egress_selector_type, "egress selector must be either controlplane or cluster")


def _url(text: str, path: str, reserved: Collection[str]) -> Iterable[FieldError]:
    if text in reserved:
        yield invalid(path, text, f"URL must not overlap with disallowed issuers: [{' '.join(sorted(reserved))}]")
    try:
        url = go_url.reference(text)
    except ValueError as error:
        yield invalid(path, text, str(error))
        return
    if url.scheme != "https":
        yield invalid(path, text, "URL scheme must be https")
    if url.user:
        yield invalid(path, text, "URL must not contain a username or password")
    if url.query:
        yield invalid(path, text, "URL must not contain a query")
    if url.fragment:
        yield invalid(path, text, "URL must not contain a fragment")


def _audiences(issuer: Issuer, path: str) -> Iterable[FieldError]:
    at = f"{path}.audiences"
    if not issuer.audiences:
        yield required(at, f"at least one {at} is required")
        return
    seen = _Seen()
    for index, audience in enumerate(issuer.audiences):
        if not audience:
            yield required(f"{at}[{index}]")
        yield from seen.repeated(f"{at}[{index}]", audience)
    policy = issuer.audience_match_policy
    if len(issuer.audiences) > 1 and policy != _MATCH_ANY:
        yield invalid(f"{path}.audienceMatchPolicy", policy, "audienceMatchPolicy must be MatchAny for multiple audiences")
    if len(issuer.audiences) == 1 and policy not in ("", _MATCH_ANY):
        text = "audienceMatchPolicy must be empty or MatchAny for single audience"
        yield invalid(f"{path}.audienceMatchPolicy", policy, text)


def _authority_problem(pem: str) -> str:
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        found = []
    return "" if found else "data does not contain any valid RSA or ECDSA certificates"


class _Compiling:
    def __init__(self, authenticator: JwtAuthenticator, at: str, errors: list[FieldError]) -> None:
        self.made = CompiledMappings()
        self._of = authenticator
        self._at = at
        self._errors = errors

    def claim_rules(self) -> None:
        claims, expressions = _Seen(), _Seen()
        made: list[tuple[Expression, str]] = []
        for index, rule in enumerate(self._of.claim_rules):
            path = f"{self._at}claimValidationRules[{index}]"
            if rule.claim and rule.expression:
                self._errors.append(invalid(path, rule.claim, _BOTH))
            elif rule.claim:
                if rule.message:
                    self._errors.append(invalid(f"{path}.message", rule.message, "may not be specified when claim is set"))
                self._errors += claims.repeated(f"{path}.claim", rule.claim)
            elif rule.expression:
                if rule.required_value:
                    text = "may not be specified when expression is set"
                    self._errors.append(invalid(f"{path}.requiredValue", rule.required_value, text))
                if repeated := expressions.repeated(f"{path}.expression", rule.expression):
                    self._errors += repeated
                elif expression := self._compiled(rule.expression, f"{path}.expression", CLAIMS, BOOL):
                    made.append((expression, rule.message))
            else:
                self._errors.append(required(path, "claim or expression is required"))
        self.made.claim_rules = tuple(made)

    def mappings(self) -> None:
        of, path = self._of, f"{self._at}claimMappings"
        self.made.username = self._prefixed(of.username, f"{path}.username", is_required=True)
        self.made.groups = self._prefixed(of.groups, f"{path}.groups", is_required=False)
        if of.uid.claim and of.uid.expression:
            self._errors.append(invalid(f"{path}.uid", "", _BOTH))
        elif of.uid.expression:
            self.made.uid = self._compiled(of.uid.expression, f"{path}.uid.expression", CLAIMS)
        self._extra(f"{path}.extra")
        username = self.made.username
        if username is None or not username.selects("claims", "email"):
            return
        others = (username, *(each for _, each in self.made.extra), *(each for each, _ in self.made.claim_rules))
        if not any(each.selects("claims", "email_verified") for each in others):
            self._errors.append(invalid(f"{path}.username.expression", of.username.expression, _EMAIL_VERIFIED))

    def user_rules(self) -> None:
        expressions = _Seen()
        made: list[tuple[Expression, str]] = []
        for index, rule in enumerate(self._of.user_rules):
            path = f"{self._at}userValidationRules[{index}].expression"
            if not rule.expression:
                self._errors.append(required(path))
            elif repeated := expressions.repeated(path, rule.expression):
                self._errors += repeated
            elif expression := self._compiled(rule.expression, path, USER, BOOL):
                made.append((expression, rule.message))
        self.made.user_rules = tuple(made)

    def _prefixed(self, mapping: Mapping, path: str, *, is_required: bool) -> Expression | None:
        if mapping.claim and mapping.expression:
            self._errors.append(invalid(path, "", _BOTH))
            return None
        if mapping.expression:
            before = len(self._errors)
            if mapping.prefix is not None:
                text = "may not be specified when expression is set"
                self._errors.append(invalid(f"{path}.prefix", mapping.prefix, text))
            made = self._compiled(mapping.expression, f"{path}.expression", CLAIMS)
            # As upstream, an expression beside a prefix is not looked at further.
            return made if len(self._errors) == before else None
        if mapping.claim and mapping.prefix is None:
            text = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            self._errors.append(required(f"{path}.prefix", text))
        elif not mapping.claim and is_required:
            self._errors.append(required(path, "claim or expression is required"))
        return None

    def _extra(self, at: str) -> None:
        keys = _Seen()
        made: list[tuple[ExtraMapping, Expression]] = []
        for index, mapping in enumerate(self._of.extra):
            path = f"{at}[{index}]"
            self._errors += _key_errors(mapping.key, f"{path}.key")
            if repeated := keys.repeated(f"{path}.key", mapping.key):
                self._errors += repeated
            elif not mapping.expression:
                self._errors.append(required(f"{path}.valueExpression"))
            elif expression := self._compiled(mapping.expression, f"{path}.valueExpression", CLAIMS):
                made.append((mapping, expression))
        self.made.extra = tuple(made)

    def _compiled(self, text: str, path: str, env: Environment, result: Type | None = None) -> Expression | None:
        return compiled(lambda: Expression(text, env, result=result), text, path, self._errors)


def compiled(compile_: Callable[[], Expression], text: str, path: str, errors: list[FieldError]) -> Expression | None:
    """The expression; None, with an error, where it cannot be compiled."""
    try:
        return compile_()
    except CelError as error:
        errors.append(invalid(path, text, str(error)))
        return None


def _key_errors(key: str, path: str) -> Iterable[FieldError]:
    """A path that begins with a domain, and what is reserved."""
    yield from domain_path_errors(key, path)
    host, slash, _ = key.partition("/")
    if key != key.lower():
        yield invalid(path, key, "must be lowercase")
    if slash and any(host == domain or host.endswith(f".{domain}") for domain in _RESERVED_DOMAINS):
        text = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
        yield invalid(path, key, text)
