"""ClusterTrustBundles: certificates of authorities, which a signer may vouch for (KEP-3257)."""

from __future__ import annotations

from cryptography import x509

from tenantry.kube import pem
from tenantry.kube.certificates import CERTIFICATE, read_certificate, signer_name_errors
from tenantry.kube.columns import NAME, column
from tenantry.kube.definition import ResourceDefinition, Strategy, Version
from tenantry.kube.field_errors import IMMUTABLE, invalid, too_long, while_few
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import dns1123_subdomain_errors, path_segment_errors
from tenantry.kube.objects import Object, name_of
from tenantry.kube.status import FieldError
from tenantry.kube.types.certificate_signing_request import GROUP

BUNDLE_BYTES_MAX = 1 << 20
_REF = "io.k8s.api.certificates.v1."
SPEC = message(
    _REF + "ClusterTrustBundleSpec",
    """
    1 signerName  string
    2 trustBundle string always required
    """,
)
MESSAGE = kind(_REF + "ClusterTrustBundle", "2 spec ClusterTrustBundleSpec required", SPEC)


def signer_of(bundle: Object) -> str:
    return (bundle.get("spec") or {}).get("signerName") or ""


def _bundle_of(bundle: Object) -> str:
    return (bundle.get("spec") or {}).get("trustBundle") or ""


class ClusterTrustBundleStrategy(Strategy):
    prefix_on_update = "before"

    unconditional_update = False
    may_take_long = True

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        return old is None or _bundle_of(obj) != _bundle_of(old)

    def name_errors(self, name: str, *, prefix: bool) -> list[str]:
        return path_segment_errors(name, prefix=prefix)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        signer, name = signer_of(obj), name_of(obj)
        errors = [invalid("metadata.name", name, text) for text in _name_errors(name, signer)]
        base = obj["metadata"].get("generateName")
        if base:
            errors += [invalid("metadata.generateName", base, text) for text in _name_errors(base, signer, prefix=True)]
        if signer:
            errors += signer_name_errors("spec.signerName", signer)
        if old is None or _bundle_of(obj) != _bundle_of(old):
            errors += _bundle_errors(_bundle_of(obj))
        if old is not None and signer != signer_of(old):
            errors.append(invalid("spec.signerName", signer, IMMUTABLE))
        return errors


def _name_errors(name: str, signer: str, *, prefix: bool = False) -> list[str]:
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return dns1123_subdomain_errors(name, prefix=prefix)
    lead = signer.replace("/", ":") + ":"
    if not name.startswith(lead):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {lead}"]
    return dns1123_subdomain_errors(name.removeprefix(lead), prefix=prefix)


def _bundle_errors(text: str) -> list[FieldError]:
    path = "spec.trustBundle"
    if len(text.encode()) > BUNDLE_BYTES_MAX:
        return [too_long(path, BUNDLE_BYTES_MAX)]
    errors: list[FieldError] = []
    places: dict[bytes, list[int]] = {}
    for index, block in while_few(errors, enumerate(pem.blocks(text.encode()))):
        problem = _anchor_error(block)
        if problem:
            errors.append(invalid(path, "<value omitted>", f"entry {index} {problem}"))
        else:
            places.setdefault(block.data, []).append(index)
    if errors:
        return errors
    if not places:
        return [invalid(path, "<value omitted>", "at least one trust anchor must be provided")]
    for same in while_few(errors, places.values()):
        if len(same) > 1:
            shown = " ".join(map(str, same))
            errors.append(invalid(path, "<value omitted>", f"duplicate trust anchor (indices [{shown}])"))
    return errors


def _anchor_error(block: pem.Block) -> str:
    if block.type != CERTIFICATE:
        return f"has bad block type: {block.type}"
    if block.has_headers:
        return "has PEM block headers"
    certificate = read_certificate(block.data)
    if certificate is None:
        return "does not parse as X.509"
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    return "" if is_authority else "does not have the CA bit set"


_SIGNER_TEXT = (
    "signerName indicates the associated signer, if any.\n\nIn order to create or update a ClusterTrustBundle "
    "that sets signerName, you must have the following cluster-scoped permission: group=certificates.k8s.io "
    "resource=signers resourceName=<the signer name> verb=attest.\n\nIf signerName is not empty, then the "
    "ClusterTrustBundle object must be named with the signer name as a prefix (translating slashes to colons). "
    "For example, for the signer name `example.com/foo`, valid ClusterTrustBundle object names include "
    "`example.com:foo:abc` and `example.com:foo:v1`.\n\nIf signerName is empty, then the ClusterTrustBundle "
    "object's name must not have such a prefix.\n\nList/watch requests for ClusterTrustBundles can filter on "
    "this field using a `spec.signerName=NAME` field selector."
)

DEFINITION = ResourceDefinition(
    group=GROUP,
    plural="clustertrustbundles",
    singular="clustertrustbundle",
    kind="ClusterTrustBundle",
    list_kind="ClusterTrustBundleList",
    namespaced=False,
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(NAME, column("SignerName", _SIGNER_TEXT, lambda obj: signer_of(obj) or "<none>")),
            selectable={"spec.signerName": signer_of},
        )
    },
    storage_version="v1",
    upstream_storage_version="v1beta1",
    strategy=ClusterTrustBundleStrategy(),
)
