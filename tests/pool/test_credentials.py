"""The context for the links, and what is said when its files are of no use."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from support.pki import PKI, Issued

from offload.config import Identity
from offload.pool.credentials import client_context
from offload.pool.errors import CredentialsUnusable


def identity(certificate: Path, key: Path) -> Identity:
    return Identity(certificate=certificate, key=key)


def test_the_context_demands_tls_1_3_and_the_workers_name(
    pki: PKI, frontend_identity: Issued
) -> None:
    context = client_context(
        identity(frontend_identity.certificate_path, frontend_identity.key_path),
        str(pki.root_path),
    )
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.hostname_checks_common_name


def test_a_missing_or_empty_trust_file(tmp_path: Path, frontend_identity: Issued) -> None:
    files = identity(frontend_identity.certificate_path, frontend_identity.key_path)
    with pytest.raises(CredentialsUnusable, match=r"trust\.pem: .*no such file.*trust$"):
        client_context(files, str(tmp_path / "trust.pem"))
    (tmp_path / "trust.pem").write_text("nothing")
    with pytest.raises(CredentialsUnusable, match=r"trust\.pem: not a usable certificate file"):
        client_context(files, str(tmp_path / "trust.pem"))


def test_a_key_of_another_certificate(pki: PKI, frontend_identity: Issued) -> None:
    files = identity(frontend_identity.certificate_path, pki.identity("other").key_path)
    with pytest.raises(CredentialsUnusable, match="key values mismatch"):
        client_context(files, str(pki.root_path))


def test_an_encrypted_key_is_refused_without_a_prompt(
    pki: PKI, frontend_identity: Issued, tmp_path: Path
) -> None:
    path = tmp_path / "encrypted.key"
    path.write_bytes(
        frontend_identity.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    with pytest.raises(CredentialsUnusable, match="unencrypted key") as caught:
        client_context(identity(frontend_identity.certificate_path, path), str(pki.root_path))
    assert "passphrase" not in str(caught.value)
