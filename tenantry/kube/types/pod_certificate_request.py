"""PodCertificateRequests: a pod asks a signer for a certificate (KEP-4317). Nothing here signs or makes them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tenantry.kube import pem
from tenantry.kube.certificates import (
    CERTIFICATE,
    BadRequest,
    check_signature,
    is_kubernetes_signer,
    read_certificate,
    read_request,
    signer_name_errors,
)
from tenantry.kube.columns import NAME, column
from tenantry.kube.definition import ResetFields, ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import IMMUTABLE, invalid, not_supported, required, too_long, while_few
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import dns1123_subdomain_errors, qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.types.certificate_signing_request import GROUP
from tenantry.kube.types.conditions import CONDITION, condition_errors
from tenantry.kube.types.reset import keep

ISSUED, DENIED, FAILED = "Issued", "Denied", "Failed"
_ENDS = (ISSUED, DENIED, FAILED)
_DEFAULT_SECONDS = 86400
_LEAST_SECONDS = 3600
_MOST_SECONDS, _MOST_SECONDS_OF_KUBERNETES = 91 * 86400, 86400
_REQUEST_BYTES_MAX, _CHAIN_BYTES_MAX, _ANNOTATIONS_BYTES_MAX = 10 * 1024, 100 * 1024, 256 * 1024
_UID_BYTES_MAX = 128
_RSA_BITS = (3072, 4096)
_CLOCK_DIFFERENCE, _REFRESH_MARGIN = timedelta(minutes=5), timedelta(minutes=10)
_CURVES: Mapping[str, str] = {"secp192r1": "P-192", "secp224r1": "P-224", "secp256r1": "P-256"}
_REF = "io.k8s.api.certificates.v1."
SPEC = message(
    _REF + "PodCertificateRequestSpec",
    """
    1  signerName                string                 always required
    2  podName                   string                 always required
    3  podUID                    string(types.UID)      always required
    4  serviceAccountName        string                 always required
    5  serviceAccountUID         string(types.UID)      always required
    6  nodeName                  string(types.NodeName) always required
    7  nodeUID                   string(types.UID)      always required
    8  maxExpirationSeconds      *int32                   default=86400
    12 stubPKCS10Request         bytes                  always required
    11 unverifiedUserAnnotations map[]string
    """,
)
STATUS = message(
    _REF + "PodCertificateRequestStatus",
    """
    1 conditions       []Condition merge=type map=type
    2 certificateChain string
    4 notBefore        *Time
    5 beginRefreshAt   *Time
    6 notAfter         *Time
    """,
    CONDITION,
)
MESSAGE = kind(
    _REF + "PodCertificateRequest",
    """
    2 spec   PodCertificateRequestSpec required
    3 status PodCertificateRequestStatus
    """,
    SPEC,
    STATUS,
)


class PodCertificateRequestStrategy(Strategy):
    unconditional_update = False
    may_take_long = True
    reset_fields: Mapping[str, ResetFields] = {"": (("status",),), "status": (("metadata",), ("spec",))}

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        return old is None or (obj.get("status") or {}) != (old.get("status") or {})

    def default(self, obj: Object) -> None:
        spec = obj.get("spec")
        if spec is not None and spec.get("maxExpirationSeconds") is None:
            spec["maxExpirationSeconds"] = _DEFAULT_SECONDS

    def prepare_for_create(self, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        if subresource == "status":
            keep(obj, old, "spec")
            keep_metadata(obj, old)
        else:
            keep(obj, old, "status")

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        spec = obj.get("spec") or {}
        if old is None:
            return _spec_errors(spec)
        if subresource == "status":
            return _status_errors(obj.get("status") or {}, old.get("status") or {}, spec)
        return [invalid("spec", _shown(spec), IMMUTABLE)] if spec != (old.get("spec") or {}) else []


def _shown(spec: Object) -> Object:
    """A spec as Go prints upstream's internal type, which has two more fields."""
    shown: Object = {}
    for field in SPEC.fields:
        if field.name == "stubPKCS10Request":
            shown.update(PKIXPublicKey=None, ProofOfPossession=None)
        shown[field.name[0].upper() + field.name[1:]] = spec.get(field.name)
    return shown


def keep_metadata(obj: Object, old: Object) -> None:
    """Restores what a status endpoint does not change in metadata (apimachinery's ResetObjectMetaForStatus)."""
    keep(obj["metadata"], old["metadata"], "labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp")


def _spec_errors(spec: Object) -> list[FieldError]:
    errors = signer_name_errors("spec.signerName", spec.get("signerName") or "")
    errors += _annotation_errors(spec.get("unverifiedUserAnnotations"))
    for part in ("pod", "serviceAccount", "node"):
        name, uid = spec.get(f"{part}Name") or "", spec.get(f"{part}UID") or ""
        errors += [invalid(f"spec.{part}Name", name, text) for text in dns1123_subdomain_errors(name)]
        if not uid:
            errors.append(invalid(f"spec.{part}UID", uid, "must not be empty"))
        if len(uid.encode()) > _UID_BYTES_MAX:
            errors.append(too_long(f"spec.{part}UID", _UID_BYTES_MAX))
    seconds = spec.get("maxExpirationSeconds")
    if seconds is None:
        return [*errors, required("spec.maxExpirationSeconds", "must be set")]
    most = _MOST_SECONDS_OF_KUBERNETES if is_kubernetes_signer(spec.get("signerName") or "") else _MOST_SECONDS
    if not _LEAST_SECONDS <= seconds <= most:
        text = f"must be in the range [{_LEAST_SECONDS}, {most}]"
        errors.append(invalid("spec.maxExpirationSeconds", seconds, text))
    return [*errors, *_request_errors(b64decode(spec.get("stubPKCS10Request") or ""))]


def _annotation_errors(annotations: Mapping[str, str] | None) -> list[FieldError]:
    path, errors, size = "spec.unverifiedUserAnnotations", list[FieldError](), 0
    for key, value in (annotations or {}).items():
        size += len(key.encode()) + len((value or "").encode())
    for key in while_few(errors, map(str.lower, annotations or ())):
        found = qualified_name_errors(key)
        if not key:
            errors.append(required(path))
        elif found:
            errors += [invalid(path, key, text) for text in found]
        elif "/" not in key:
            errors.append(invalid(path, key, 'must be a domain-prefixed key (such as "acme.io/foo")'))
    if size > _ANNOTATIONS_BYTES_MAX:
        errors.append(too_long(path, _ANNOTATIONS_BYTES_MAX))
    return errors


def _omitted(path: str, detail: str) -> FieldError:
    """An invalid value that the text does not show."""
    return FieldError("Invalid", path, f"Invalid value: {detail}")


def _request_errors(der: bytes) -> Iterator[FieldError]:
    path = "spec.stubPKCS10Request"
    if not der:
        text = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"
        yield _omitted("spec", text)
        return
    if len(der) > _REQUEST_BYTES_MAX:
        yield too_long(path, _REQUEST_BYTES_MAX)
        return
    try:
        request = read_request(der)
        key = request.public_key()
    except (ValueError, TypeError):
        yield _omitted(path, "must be a valid PKCS#10 CSR")
        return
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            name = _CURVES.get(key.curve.name, key.curve.name)
            yield invalid(path, f"curve {name}", "elliptic public keys must use curve P256, P384, or P521")
            return
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_BITS:
            yield invalid(path, f"{key.key_size}-bit modulus", "RSA keys must have modulus size 3072 or 4096")
            return
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        yield _omitted(path, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")
        return
    try:
        check_signature(request)
    except BadRequest:
        yield _omitted(path, "invalid signature")


def _has(status: Object, name: str) -> bool:
    return any(each.get("type") == name and each.get("status") == "True" for each in status.get("conditions") or ())


def _status_errors(status: Object, old: Object, spec: Object) -> list[FieldError]:
    path = "status.conditions"
    conditions: Sequence[Object] = status.get("conditions") or ()
    errors: list[FieldError] = []
    known = 0
    for index, each in while_few(errors, enumerate(conditions)):
        name, value = each.get("type") or "", each.get("status") or ""
        if name not in _ENDS:
            errors.append(not_supported(f"{path}.[{index}].type", name, _ENDS))
            continue
        known += 1
        if known > 1:
            text = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            errors.append(invalid(f"{path}.[{index}].type", name, text))
        if value != "True":
            errors.append(not_supported(f"{path}.[{index}].status", value, ("True",)))
    errors += condition_errors(conditions, path)
    if errors:
        return errors
    if any(_has(old, name) for name in _ENDS):
        same = _without_empty(status) == _without_empty(old)
        return [] if same else [_omitted("status", "immutable after PodCertificateRequest is issued, denied, or failed")]
    if _has(status, DENIED) or _has(status, FAILED):
        text = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
        return [] if _without_empty(status).keys() <= {"conditions"} else [_omitted("status", text)]
    if _has(status, ISSUED):
        return [*_chain_errors(status, spec)]
    if _without_empty(status) != _without_empty(old):
        return [_omitted("status", 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"')]
    return []


def _without_empty(status: Object) -> Object:
    return {key: value for key, value in status.items() if value}


def _chain_errors(status: Object, spec: Object) -> Iterator[FieldError]:
    path, chain = "status.certificateChain", status.get("certificateChain") or ""
    if len(chain.encode()) > _CHAIN_BYTES_MAX:
        yield too_long(path, _CHAIN_BYTES_MAX)
        return
    blocks = [*pem.blocks(chain.encode())]
    if not blocks:
        yield invalid(path, chain, "issued certificate chain must contain at least one certificate")
        return
    if blocks[0].type != CERTIFICATE:
        yield invalid(path, chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
        return
    leaf = read_certificate(blocks[0].data)
    if leaf is None:
        yield invalid(path, chain, "leaf certificate does not parse as valid X.509")
        return
    if leaf.public_key() != read_request(b64decode(spec["stubPKCS10Request"])).public_key():
        yield invalid(path, chain, "leaf certificate was not issued to the requested public key")
        return
    problem = _time_error(status, leaf.not_valid_before_utc, leaf.not_valid_after_utc, spec["maxExpirationSeconds"])
    if problem:
        yield from problem
        return
    for block in blocks[1:]:
        if block.type != CERTIFICATE:
            yield invalid(path, chain, "issued certificate chain must consist entirely of CERTFICATE PEM blocks")
            return
        if read_certificate(block.data) is None:
            yield invalid(path, chain, "intermediate certificate does not parse as valid X.509")
            return


def _time_error(status: Object, begin: datetime, end: datetime, most_seconds: int) -> list[FieldError]:
    errors = []
    for name, text in (
        ("notBefore", "must be present and consistent with the issued certificate"),
        ("notAfter", "must be present and consistent with the issued certificate"),
        ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
    ):
        if not status.get(name):
            errors.append(required(f"status.{name}", text))
    if errors:
        return errors
    before, after, refresh = (datetime.fromisoformat(status[name]) for name in ("notBefore", "notAfter", "beginRefreshAt"))
    life, chain = end - begin, "status.certificateChain"
    if before != begin:
        return [_wrong(status, "notBefore", "must be set to the NotBefore time encoded in the leaf certificate")]
    if abs(before - datetime.now(UTC)) >= _CLOCK_DIFFERENCE:
        return [_wrong(status, "notBefore", "must be set to within 5 minutes of kube-apiserver's current time")]
    if after != end:
        return [_wrong(status, "notAfter", "must be set to the NotAfter time encoded in the leaf certificate")]
    nanoseconds = int(life.total_seconds()) * 10**9
    if life < timedelta(seconds=_LEAST_SECONDS):
        return [invalid(chain, nanoseconds, "leaf certificate lifetime must be >= 1 hour")]
    if life > timedelta(seconds=most_seconds):
        text = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most_seconds})"
        return [invalid(chain, nanoseconds, text)]
    if refresh < before + _REFRESH_MARGIN:
        return [_wrong(status, "beginRefreshAt", "must be at least 10 minutes after status.notBefore")]
    if refresh > after - _REFRESH_MARGIN:
        return [_wrong(status, "beginRefreshAt", "must be at least 10 minutes before status.notAfter")]
    return []


def _wrong(status: Object, name: str, text: str) -> FieldError:
    return invalid(f"status.{name}", status[name], text)


def _state(request: Object) -> str:
    state = "Pending"
    for each in (request.get("status") or {}).get("conditions") or ():
        if each.get("type") in _ENDS:
            state = each["type"]
    return state


def _annotations(request: Object) -> str:
    found = (request.get("spec") or {}).get("unverifiedUserAnnotations") or {}
    return ",".join(f"{key}={found[key]}" for key in sorted(found)) or "<none>"


def signer_of(request: Object) -> str:
    return (request.get("spec") or {}).get("signerName") or ""


def _pod(request: Object) -> str:
    return (request.get("spec") or {}).get("podName") or ""


def _account(request: Object) -> str:
    return (request.get("spec") or {}).get("serviceAccountName") or ""


def _node(request: Object) -> str:
    return (request.get("spec") or {}).get("nodeName") or ""


_SIGNER_TEXT = (
    "signerName indicates the requested signer.\n\nAll signer names beginning with `kubernetes.io` are reserved "
    "for use by the Kubernetes project.  There is currently one well-known signer documented by the Kubernetes "
    "project, `kubernetes.io/kube-apiserver-client-pod`, which will issue client certificates understood by "
    "kube-apiserver.  It is currently unimplemented."
)
_ANNOTATIONS_TEXT = (
    "unverifiedUserAnnotations allow pod authors to pass additional information to the signer implementation.  "
    "Kubernetes does not restrict or validate this metadata in any way.\n\nEntries are subject to the same "
    "validation as object metadata annotations, with the addition that all keys must be domain-prefixed. No "
    "restrictions are placed on values, except an overall size limitation on the entire field.\n\nSigners should "
    "document the keys and values they support.  Signers should deny requests that contain keys they do not "
    "recognize."
)

DEFINITION = ResourceDefinition(
    group=GROUP,
    plural="podcertificaterequests",
    singular="podcertificaterequest",
    kind="PodCertificateRequest",
    list_kind="PodCertificateRequestList",
    namespaced=True,
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                column("PodName", "podName is the name of the pod into which the certificate will be mounted.", _pod),
                column(
                    "ServiceAccountName", "serviceAccountName is the name of the service account the pod is running as.", _account
                ),
                column("NodeName", "nodeName is the name of the node the pod is assigned to.", _node),
                column("SignerName", _SIGNER_TEXT, signer_of),
                column("State", "Is the request Pending, Issued, Denied, or Failed?", _state),
                column("UnverifiedUserAnnotations", _ANNOTATIONS_TEXT, _annotations),
            ),
            subresources=frozenset({"status"}),
            selectable={"spec.signerName": signer_of, "spec.podName": _pod, "spec.nodeName": _node},
        )
    },
    storage_version="v1",
    upstream_storage_version="v1beta1",
    strategy=PodCertificateRequestStrategy(),
)
