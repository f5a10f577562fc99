"""Certificates and keys of a federation on this machine: for TLS, and one key a SuperNode."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A launch lives for hours. A clock that was set back since must not make them invalid.
_VALID = datetime.timedelta(days=30)
_CLOCK = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """What a SuperLink needs for TLS; whoever connects to it needs the authority alone.

    Attributes
    ----------
    authority : pathlib.Path
        Certificate of the authority. Its private key was never written down.
    certificate, key : pathlib.Path
        The SuperLink's own, signed by the authority.
    """

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, address: str) -> Certificates:
    """Make an authority and a certificate that it has signed, good for 30 days.

    Parameters
    ----------
    folder : pathlib.Path
        Where ``ca.crt``, ``server.pem`` and ``server.key`` go.
    address : str
        The IP address that the SuperLink is reached at.

    Raises
    ------
    ValueError
        If `address` is no IP address.
    """
    reached_at = x509.IPAddress(ipaddress.ip_address(address))
    authority_key, server_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    authority_name, server_name = _name("fl-ef21 local authority"), _name(address)
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _unsigned(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA384())
    )
    server = (
        _unsigned(server_name, authority_name, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([reached_at]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id),
            critical=False,
        )
        .sign(authority_key, hashes.SHA384())
    )
    made = Certificates(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    made.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    made.certificate.write_bytes(server.public_bytes(Encoding.PEM))
    _write_private(made.key, server_key, PrivateFormat.PKCS8)
    return made


def make_node_key(path: Path) -> Path:
    """Make the key of a SuperNode, ECDSA on P-384 in OpenSSH's format, as ``ssh-keygen`` would.

    Parameters
    ----------
    path : pathlib.Path
        Where the private half goes.

    Returns
    -------
    pathlib.Path
        The public half, which is registered with the SuperLink: `path` with ``.pub`` behind it.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    _write_private(path, key, PrivateFormat.OpenSSH)
    public = public_half(path)
    public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return public


def public_half(path: Path) -> Path:
    """Return where the public half of a SuperNode's key is."""
    return path.with_name(f"{path.name}.pub")


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK)
        .not_valid_after(now + _VALID)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    """Return what a key may sign: certificates, or what TLS asks of a server."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey, form: PrivateFormat) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
