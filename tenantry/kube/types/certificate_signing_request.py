"""CertificateSigningRequests. Only metadata, the approval and the status change after a request is made (KEP-1513)."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.x509.oid import NameOID

from tenantry.kube.certificates import BadRequest, certificate_error, check_signature, parse_request, signer_name_errors
from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import ResetFields, ResourceDefinition, Strategy, Version
from tenantry.kube.durations import human_duration
from tenantry.kube.field_errors import duplicate, forbidden, invalid, not_supported, required, while_few
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import path_segment_errors
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.status import FieldError
from tenantry.kube.types.conditions import STATUSES

GROUP = "certificates.k8s.io"
APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
"""The signer of client certificates of the API server."""
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_MASTERS = "system:masters"
_LEAST_SECONDS = 600
_REF = "io.k8s.api.certificates.v1."
CONDITION = message(
    _REF + "CertificateSigningRequestCondition",
    """
    1 type               string(v1.RequestConditionType) always required
    6 status             string(v1.ConditionStatus)      always required
    2 reason             string
    3 message            string
    4 lastUpdateTime     Time always
    5 lastTransitionTime Time always
    """,
)
SPEC = message(
    _REF + "CertificateSigningRequestSpec",
    """
    1 request           bytes             always required
    7 signerName        string            always required
    8 expirationSeconds *int32
    5 usages            []string(v1.KeyUsage)
    2 username          string
    3 uid               string
    4 groups            []string
    6 extra             map[]Values
    """,
)
STATUS = message(
    _REF + "CertificateSigningRequestStatus",
    """
    1 conditions  []CertificateSigningRequestCondition map=type
    2 certificate bytes
    """,
    CONDITION,
)
MESSAGE = kind(
    _REF + "CertificateSigningRequest",
    """
    2 spec   CertificateSigningRequestSpec required
    3 status CertificateSigningRequestStatus
    """,
    SPEC,
    STATUS,
)
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_DECISIONS = (APPROVED, DENIED)
_REQUESTER = ("username", "uid", "groups", "extra")
_KEPT = (APPROVED, DENIED, FAILED)


def conditions_of(request: Object) -> Sequence[Object]:
    return (request.get("status") or {}).get("conditions") or ()


def has_condition(request: Object, name: str) -> bool:
    """Whether the request has a condition of this type: Approved, Denied and Failed are never false."""
    return any(each.get("type") == name for each in conditions_of(request))


class CertificateSigningRequestStrategy(Strategy):
    may_take_long = True
    refuses = True
    notes_requester = True
    reset_fields: Mapping[str, ResetFields] = {
        "": (("spec",), ("status",)),
        "status": (("spec",), ("status", "conditions")),
        "approval": (("spec",), ("status", "certificate")),
    }

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        """A key of the requester's choice may take milliseconds to check, and a certificate may be long."""
        return old is None or _certificate(obj) != _certificate(old)

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def prepare_for_create(self, obj: Object) -> None:
        obj["status"] = {}

    def note_requester(self, obj: Object, user: Mapping[str, Any]) -> None:
        spec = obj["spec"] = {key: value for key, value in (obj.get("spec") or {}).items() if key not in _REQUESTER}
        spec.update({key: user[key] for key in _REQUESTER if user.get(key)})

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        obj["spec"] = old["spec"]
        status, before = dict(obj.get("status") or {}), old.get("status") or {}
        if not subresource:
            obj["status"] = before
            return
        conditions = [dict(each) for each in status.get("conditions") or ()]
        if subresource == "status":
            for name in _DECISIONS:
                _keep_instances(conditions, before.get("conditions") or (), name)
        _add_times(conditions, before.get("conditions") or ())
        if subresource == "approval":
            status = dict(before)
        status["conditions"] = conditions
        if not conditions:
            del status["conditions"]
        obj["status"] = status

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        errors = [] if old is not None else _spec_errors(obj.get("spec") or {})
        errors += _condition_errors(obj, old)
        if old is not None:
            if _certificate(obj) != _certificate(old) and (text := certificate_error(b64decode(_certificate(obj)))):
                errors.append(invalid("status.certificate", "<certificate data>", text))
            errors += _change_errors(obj, old, subresource)
        return errors

    def findings(self, obj: Object) -> list[FieldError]:
        """The API server gives no certificates to `system:masters` (admission plugin CertificateSubjectRestriction)."""
        spec = obj["spec"]
        if spec.get("signerName") != CLIENT_SIGNER:
            return []
        subject = parse_request(b64decode(spec["request"])).subject
        if _MASTERS not in (each.value for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)):
            return []
        text = f"use of {CLIENT_SIGNER} signer with {_MASTERS} group is not allowed"
        return [FieldError("Forbidden", "spec.request", text)]


def _certificate(obj: Object) -> str:
    return (obj.get("status") or {}).get("certificate") or ""


def _keep_instances(conditions: list[Object], old: Sequence[Object], name: str) -> None:
    """Restores the conditions of a type. Where some were added or removed, nothing is restored, and validation refuses it."""
    kept = [each for each in old if each.get("type") == name]
    places = [index for index, each in enumerate(conditions) if each.get("type") == name]
    if len(kept) == len(places):
        for place, each in zip(places, kept, strict=True):
            conditions[place] = dict(each)


def _add_times(conditions: list[Object], old: Sequence[Object]) -> None:
    now = timestamp()
    since: dict[tuple[str, str], str] = {}
    for each in old:
        if each.get("lastTransitionTime"):
            since.setdefault((each.get("type") or "", each.get("status") or ""), each["lastTransitionTime"])
    for each in conditions:
        each["lastUpdateTime"] = each.get("lastUpdateTime") or now
        if not each.get("lastTransitionTime"):
            each["lastTransitionTime"] = since.get((each.get("type") or "", each.get("status") or ""), now)


def _spec_errors(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    encoded = spec.get("request")
    try:
        check_signature(parse_request(b64decode(encoded or "")))
    except BadRequest as error:
        errors.append(invalid("spec.request", encoded, str(error)))
    usages = spec.get("usages") or ()
    if not usages:
        errors.append(required("spec.usages"))
    for index, usage in while_few(errors, enumerate(usages)):
        if usage not in USAGES:
            errors.append(not_supported(f"spec.usages[{index}]", usage, USAGES))
    seen: set[str] = set()
    for index, usage in while_few(errors, enumerate(usages)):
        if usage in seen:
            errors.append(duplicate(f"spec.usages[{index}]", usage))
        seen.add(usage)
    signer = spec.get("signerName") or ""
    if signer == _LEGACY_SIGNER:
        errors.append(invalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version"))
    else:
        errors += signer_name_errors("spec.signerName", signer)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _LEAST_SECONDS:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", seconds, text))
    return errors


def _condition_errors(obj: Object, old: Object | None) -> list[FieldError]:
    path, errors = "status.conditions", list[FieldError]()
    seen: set[str] = set()
    for index, condition in while_few(errors, enumerate(conditions_of(obj))):
        name, status = condition.get("type") or "", condition.get("status") or ""
        if not name:
            errors.append(required(f"{path}[{index}].type"))
        allowed = ("True",) if name in _KEPT else STATUSES
        if not status:
            errors.append(required(f"{path}[{index}].status"))
        elif status not in allowed:
            errors.append(not_supported(f"{path}[{index}].status", status, allowed))
        if name in seen:
            errors.append(duplicate(f"{path}[{index}].type", name))
        seen.add(name)
    if seen.issuperset(_DECISIONS):
        members = [f'conditions[{{"type": "{name}"}}]' for name in _DECISIONS]
        text = f"must specify at most one of: {', '.join(f'`{each}`' for each in members)}"
        errors.append(invalid(path, f"{{{', '.join(members)}}}", text))
    return errors


def _change_errors(obj: Object, old: Object, subresource: str) -> list[FieldError]:
    path, errors = "status.conditions", list[FieldError]()
    now = Counter(each.get("type") or "" for each in conditions_of(obj))
    before = Counter(each.get("type") or "" for each in conditions_of(old))
    errors += [
        forbidden(path, f'updates may not remove a condition of type "{name}"') for name in _KEPT if now[name] < before[name]
    ]
    if subresource != "approval":
        errors += [
            forbidden(path, f'updates may not add a condition of type "{name}"')
            for name in _DECISIONS
            if now[name] > before[name]
        ]
    if _certificate(obj) != _certificate(old) and _certificate(old):
        errors.append(forbidden("status.certificate", "updates may not modify existing certificate content"))
    return errors


def _duration(request: Object) -> str:
    seconds = (request.get("spec") or {}).get("expirationSeconds")
    return "<none>" if seconds is None else human_duration(seconds)


def _state(request: Object) -> str:
    names = {each.get("type") for each in conditions_of(request)}
    parts = ["Denied" if DENIED in names else "Approved" if APPROVED in names else "Pending"]
    if FAILED in names:
        parts.append("Failed")
    if _certificate(request):
        parts.append("Issued")
    return ",".join(parts)


_DURATION_TEXT = (
    "expirationSeconds is the requested duration of validity of the issued certificate. The certificate signer "
    "may issue a certificate with a different validity duration so a client must check the delta between the "
    "notBefore and and notAfter fields in the issued certificate to determine the actual duration.\n\nThe v1.22+ "
    "in-tree implementations of the well-known Kubernetes signers will honor this field as long as the requested "
    "duration is not greater than the maximum duration they will honor per the --cluster-signing-duration CLI "
    "flag to the Kubernetes controller manager.\n\nCertificate signers may not honor this field for various "
    "reasons:\n\n  1. Old signer that is unaware of the field (such as the in-tree\n     implementations prior "
    "to v1.22)\n  2. Signer whose configured maximum is shorter than the requested duration\n  3. Signer whose "
    "configured minimum is longer than the requested duration\n\nThe minimum valid value for expirationSeconds "
    "is 600, i.e. 10 minutes."
)
_SIGNER_TEXT = (
    "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will be "
    'defaulted:\n 1. If it\'s a kubelet client certificate, it is assigned\n    "kubernetes.io/kube-apiserver-client-kubelet".\n'
    ' 2. If it\'s a kubelet serving certificate, it is assigned\n    "kubernetes.io/kubelet-serving".\n 3. Otherwise, it is '
    'assigned "kubernetes.io/legacy-unknown".\nDistribution of trust for signers happens out of band. You can select on this '
    "field using `spec.signerName`."
)

DEFINITION = ResourceDefinition(
    group=GROUP,
    plural="certificatesigningrequests",
    singular="certificatesigningrequest",
    kind="CertificateSigningRequest",
    list_kind="CertificateSigningRequestList",
    namespaced=False,
    short_names=("csr",),
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                AGE,
                column("SignerName", _SIGNER_TEXT, lambda obj: (obj.get("spec") or {}).get("signerName") or "<none>"),
                column("Requestor", "Base64-encoded PKCS#10 CSR data", lambda obj: (obj.get("spec") or {}).get("username") or ""),
                column("RequestedDuration", _DURATION_TEXT, _duration),
                column("Condition", "Conditions applied to the request, such as approval or denial.", _state),
            ),
            subresources=frozenset({"approval", "status"}),
            selectable={"spec.signerName": lambda obj: (obj.get("spec") or {}).get("signerName") or ""},
        )
    },
    storage_version="v1",
    strategy=CertificateSigningRequestStrategy(),
)
