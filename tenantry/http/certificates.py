"""The platform's own certificate authority, and the serving and client certificates that it issues (EC P-256)."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenantry.base.files import write_private
from tenantry.http.handshakes import ServerContext
from tenantry.http.tls_alerts import TicketedObject, use_objects

LIFE_SECONDS = 365 * 86400.0
"""The default life of an issued certificate."""
RENEW_BELOW = 0.4
"""A certificate is renewed when this part of its life is left. With failures and retries it is done before a third is left."""
_CA_LIFE = timedelta(days=3650)
_CLOCK_SKEW = timedelta(minutes=5)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class CertificateError(Exception):
    """A certificate or a key cannot be used. The text says which one and why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key in PEM. `certificate` may contain its chain after it."""

    certificate: bytes
    key: bytes

    @classmethod
    def read(cls, certificate_path: Path, key_path: Path) -> Pair:
        """Reads the two files. If a crash interrupted a `write`, the new pair is read. Raises CertificateError."""
        try:
            pair = cls(certificate_path.read_bytes(), key_path.read_bytes())
        except OSError as error:
            raise CertificateError(f"cannot read {error.filename}: {error.strerror}") from error
        if not pair.fits:
            with suppress(OSError):
                coming = cls(_coming(certificate_path).read_bytes(), pair.key)
                return coming if coming.fits else pair
            with suppress(OSError):
                # The certificate was replaced between the reads.
                again = cls(certificate_path.read_bytes(), key_path.read_bytes())
                return again if again.fits else pair
        return pair

    def write(self, certificate_path: Path, key_path: Path) -> None:
        """Replaces both files atomically: after a crash at any moment, `read` finds either the old pair or the new one. Raises
        OSError.

        Two files cannot be replaced in one step. So the new certificate is first written next to the old one. Then the key is
        replaced; from then on the new pair counts: if the certificate does not match the key, `read` uses the one next to it.
        """
        coming = _coming(certificate_path)
        write_private(coming, self.certificate)
        write_private(key_path, self.key)
        os.replace(coming, certificate_path)

    @classmethod
    def recover(cls, certificate_path: Path, key_path: Path) -> None:
        """Completes or undoes a `write` that a crash interrupted, for programs that read the two files without this class."""
        coming = _coming(certificate_path)
        with suppress(OSError):
            if cls(coming.read_bytes(), key_path.read_bytes()).fits:
                os.replace(coming, certificate_path)
            else:
                coming.unlink()

    @property
    def fits(self) -> bool:
        """Whether the key belongs to the certificate."""
        try:
            key = serialization.load_pem_private_key(self.key, password=None)
            return x509.load_pem_x509_certificate(self.certificate).public_key() == key.public_key()
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False


@dataclass(frozen=True, slots=True)
class Validity:
    """When a certificate of the platform was issued, and when it expires. Unix times in seconds."""

    issued: float
    end: float

    @classmethod
    def of(cls, pem: bytes) -> Validity:
        """The validity of the first certificate in `pem`. Raises CertificateError."""
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError as error:
            raise CertificateError(f"the certificate cannot be read: {error}") from error
        # Issued certificates become valid a little before their issue, for machines whose clocks are behind.
        begin = certificate.not_valid_before_utc + _CLOCK_SKEW
        return cls(begin.timestamp(), certificate.not_valid_after_utc.timestamp())

    @property
    def life_seconds(self) -> float:
        """The time from issue to expiry."""
        return max(0.0, self.end - self.issued)

    @property
    def renew_at(self) -> float:
        """When to renew it, in Unix time."""
        return self.end - RENEW_BELOW * self.life_seconds


def _coming(certificate_path: Path) -> Path:
    """The file of a new certificate until its key is written."""
    return certificate_path.with_name(f".{certificate_path.name}.coming")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CertificateAuthority:
    """A CA with its key. `now`: the time in UTC."""

    def __init__(self, pair: Pair, *, now: Callable[[], datetime] = _utc_now) -> None:
        self.pair = pair
        self.now = now
        try:
            self._certificate = x509.load_pem_x509_certificate(pair.certificate)
            key = serialization.load_pem_private_key(pair.key, password=None)
        except (ValueError, TypeError) as error:
            raise CertificateError(f"the certificate authority cannot be read: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateError("the key of the certificate authority is not an elliptic curve key")
        self._key = key

    @property
    def certificate(self) -> bytes:
        """The certificate of the CA in PEM, for kubeconfigs and `kube-root-ca.crt`."""
        return self.pair.certificate

    @classmethod
    def create(cls, name: str = "tenantry-ca", *, now: Callable[[], datetime] = _utc_now) -> CertificateAuthority:
        """Creates a CA that is valid for ten years. `name`: its common name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(subject, subject, key.public_key(), now(), now() + _CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(Pair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key)), now=now)

    def derived(self, purpose: str, name: str) -> CertificateAuthority:
        """Another CA, whose key is derived from this one's (HKDF, RFC 5869): all who have this CA have that one too, and that
        one does not show this key. It ends with this CA. `purpose`: two of them are two CAs. `name`: its common name."""
        secret = self._key.private_numbers().private_value.to_bytes((self._key.key_size + 7) // 8, "big")
        # 16 bytes more than the order of the curve has, so that every key is as likely (FIPS 186-5, A.2.1).
        material = HKDF(hashes.SHA256(), 48, salt=None, info=purpose.encode()).derive(secret)
        key = ec.derive_private_key(int.from_bytes(material, "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate
        builder = (
            _builder(subject, subject, key.public_key(), certificate.not_valid_before_utc + _CLOCK_SKEW, self.end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return CertificateAuthority(Pair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key)), now=self.now)

    @property
    def end(self) -> datetime:
        """When the CA expires, in UTC."""
        return self._certificate.not_valid_after_utc

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """The certificate of a builder, to which the issuer is added. Raises CertificateError where the CA has expired."""
        if self.end <= self.now():
            raise CertificateError("the certificate authority of the platform has expired; create a new one")
        issued = builder.issuer_name(self._certificate.subject).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        return issued.sign(self._key, hashes.SHA256())

    @classmethod
    def load_or_create(cls, directory: Path) -> CertificateAuthority:
        """The CA in `ca.crt` and `ca.key` of a directory. It is created if it does not exist. Raises CertificateError,
        OSError."""
        certificate_path, key_path = directory / "ca.crt", directory / "ca.key"
        Pair.recover(certificate_path, key_path)
        if certificate_path.exists() != key_path.exists():
            missing = key_path if certificate_path.exists() else certificate_path
            raise CertificateError(f"{missing} is missing, but the other file of the certificate authority exists; restore it")
        if certificate_path.exists():
            return cls(Pair.read(certificate_path, key_path))
        authority = cls.create()
        authority.pair.write(certificate_path, key_path)
        return authority

    def issue_serving(self, names: Sequence[str], *, life_seconds: float = LIFE_SECONDS) -> Pair:
        """Issues a serving certificate for host names and IP addresses. The first one is the common name. Raises
        CertificateError."""
        return self._issue(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]),
            ExtendedKeyUsageOID.SERVER_AUTH,
            x509.SubjectAlternativeName([_general_name(name) for name in names]),
            life_seconds,
        )

    def issue_client(self, user: str, groups: Sequence[str] = (), *, life_seconds: float = LIFE_SECONDS) -> Pair:
        """Issues a client certificate for a user in groups. Raises CertificateError."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        return self._issue(
            x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)]),
            ExtendedKeyUsageOID.CLIENT_AUTH,
            None,
            life_seconds,
        )

    def serving(self, directory: Path, names: Sequence[str], *, life_seconds: float = LIFE_SECONDS) -> tuple[Path, Path]:
        """The files `serving.crt` and `serving.key` of a directory. They are issued again if they do not match `names` or this
        CA, are due for renewal, or are valid for longer than `life_seconds`. Raises CertificateError, OSError."""
        certificate_path, key_path = directory / "serving.crt", directory / "serving.key"
        Pair.recover(certificate_path, key_path)
        existing = certificate_path.exists() and key_path.exists()
        if not (existing and self._fits(Pair.read(certificate_path, key_path), names, life_seconds)):
            self.issue_serving(names, life_seconds=life_seconds).write(certificate_path, key_path)
        return certificate_path, key_path

    def _issue(
        self,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
        life_seconds: float,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self.now()
        # A certificate is not trusted after its issuer has expired.
        end = min(now + timedelta(seconds=life_seconds), self._certificate.not_valid_after_utc)
        if end <= now:
            raise CertificateError("the certificate authority of the platform has expired; create a new one")
        builder = (
            _builder(subject, self._certificate.subject, key.public_key(), now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return Pair(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))

    def _fits(self, pair: Pair, names: Sequence[str], life_seconds: float) -> bool:
        pem = pair.certificate
        if not pair.fits:
            return False
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            certificate.verify_directly_issued_by(self._certificate)
            found = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
            validity = Validity.of(pem)
        except Exception:
            # Any error in our own certificate means that a new one has to be issued.
            return False
        in_time = validity.life_seconds < life_seconds + 1 and self.now().timestamp() < validity.renew_at
        return in_time and {_general_name(name) for name in names} <= found


def server_context(certificate_path: Path, key_path: Path, *, client_ca_pem: bytes = b"") -> ssl.SSLContext:
    """A TLS context for a server: TLS 1.2 or later, HTTP/1.1 only. Raises CertificateError.

    `client_ca_pem`: CAs of client certificates, for all purposes together. With it a client certificate is requested but not
    required.
    `load_pair` replaces the certificate.
    """
    context = ServerContext.make()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate_path, key_path)
        if client_ca_pem:
            context.load_verify_locations(cadata=client_ca_pem.decode("ascii"))
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:
        raise CertificateError(f"cannot use the certificate {certificate_path} with the key {key_path}: {error}") from error
    return context


def pair_server_context(pair: Pair, *, client_ca_pem: bytes = b"") -> ssl.SSLContext:
    """As `server_context`, for a certificate in memory. Raises CertificateError."""
    with _as_files(pair) as (certificate_path, key_path):
        return server_context(certificate_path, key_path, client_ca_pem=client_ca_pem)


def load_pair(context: ssl.SSLContext, pair: Pair) -> None:
    """Makes a server use another certificate for new connections. Raises CertificateError; then nothing has changed."""
    # If loading fails, it may leave a context with half of the pair. So another context tries it first.
    pair_server_context(pair)
    with _as_files(pair) as (certificate_path, key_path):
        context.load_cert_chain(certificate_path, key_path)


def pair_client_context(ca_pem: bytes, pair: Pair) -> ssl.SSLContext:
    """A TLS context for a client with a client certificate. `ca_pem`: the CA of the servers. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    use_objects(context, TicketedObject)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
        with _as_files(pair) as (certificate_path, key_path):
            context.load_cert_chain(certificate_path, key_path)
    except (OSError, ValueError) as error:
        raise CertificateError(f"cannot use the client certificate: {error}") from error
    return context


@contextmanager
def _as_files(pair: Pair) -> Iterator[tuple[Path, Path]]:
    """Writes a pair to temporary files, because Python's ssl reads certificates from files only. On Linux these files are in
    memory:
    the root file system may be read-only, and a key should not be on disk without need."""
    with ExitStack() as stack:
        paths = []
        for content in (pair.certificate, pair.key):
            if hasattr(os, "memfd_create"):
                descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
                paths.append(Path(f"/proc/self/fd/{descriptor}"))
            else:
                descriptor, name = tempfile.mkstemp()
                paths.append(Path(name))
                stack.callback(os.unlink, name)
            file = stack.enter_context(os.fdopen(descriptor, "wb"))
            file.write(content)
            file.flush()
        yield paths[0], paths[1]


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(end)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
