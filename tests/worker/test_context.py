"""The worker's TLS context."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from support.pki import PKI, Issued

from offload.config import Identity
from offload.worker.context import IdentityError, server_context


@pytest.fixture
def issued(pki: PKI) -> Issued:
    return pki.identity("worker")


def test_mutual_tls_1_3_without_resumption(pki: PKI, issued: Issued) -> None:
    identity = Identity(certificate=issued.certificate_path, key=issued.key_path)
    context = server_context(identity, pki.root_path)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.num_tickets == 0


def test_what_cannot_be_used_is_told(pki: PKI, issued: Issued, tmp_path: Path) -> None:
    other = pki.identity("other")
    foreign = Identity(certificate=issued.certificate_path, key=other.key_path)
    with pytest.raises(IdentityError, match="belong together"):
        server_context(foreign, pki.root_path)
    identity = Identity(certificate=issued.certificate_path, key=issued.key_path)
    for trust in (tmp_path / "absent", issued.key_path):
        with pytest.raises(IdentityError, match="name the CA's PEM file"):
            server_context(identity, trust)


def test_an_encrypted_key_asks_nobody_for_a_password(
    pki: PKI, issued: Issued, tmp_path: Path
) -> None:
    path = tmp_path / "encrypted.key"
    encryption = BestAvailableEncryption(b"secret")
    path.write_bytes(issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    identity = Identity(certificate=issued.certificate_path, key=path)
    with pytest.raises(IdentityError, match="not encrypted"):
        server_context(identity, pki.root_path)
