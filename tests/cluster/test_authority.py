import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import (
    ClientVerifier,
    PolicyBuilder,
    Store,
    VerificationError,
)
from support.pki import shared_key

from offload.cluster.authority import Authority, fingerprint, pem
from offload.cluster.profile import CertificateProfile

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("test authority", NOW)


def as_server(authority: Authority, certificate: bytes, name: str, when: datetime = NOW) -> None:
    verifier = (
        PolicyBuilder()
        .store(Store([authority.certificate]))
        .time(when)
        .build_server_verifier(x509.DNSName(name))
    )
    verifier.verify(x509.load_pem_x509_certificate(certificate), [])


def client_verifier(authority: Authority) -> ClientVerifier:
    store = Store([authority.certificate])
    return PolicyBuilder().store(store).time(NOW).build_client_verifier()


def test_a_worker_is_a_server_of_its_name(authority: Authority) -> None:
    worker = authority.issue_worker("worker-1.internal", NOW)
    as_server(authority, worker.certificate, "worker-1.internal")
    with pytest.raises(VerificationError):
        as_server(authority, worker.certificate, "worker-2.internal")
    with pytest.raises(VerificationError):
        client_verifier(authority).verify(x509.load_pem_x509_certificate(worker.certificate), [])


def test_a_front_end_is_a_client(authority: Authority) -> None:
    front_end = authority.issue_frontend("frontend-1.internal", NOW)
    certificate = x509.load_pem_x509_certificate(front_end.certificate)
    subjects = client_verifier(authority).verify(certificate, []).subjects
    assert subjects is not None
    assert x509.DNSName("frontend-1.internal") in subjects
    with pytest.raises(VerificationError):
        as_server(authority, front_end.certificate, "frontend-1.internal")


def test_an_identity_ends(authority: Authority) -> None:
    worker = authority.issue_worker("worker-1.internal", NOW, days=10)
    as_server(authority, worker.certificate, "worker-1.internal", NOW - timedelta(minutes=30))
    with pytest.raises(VerificationError):
        as_server(authority, worker.certificate, "worker-1.internal", NOW + timedelta(days=11))


def test_another_authority_is_not_trusted(authority: Authority) -> None:
    stranger = Authority.create("test authority", NOW).issue_worker("worker-1.internal", NOW)
    with pytest.raises(VerificationError):
        as_server(authority, stranger.certificate, "worker-1.internal")


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_verifies_strictly(tmp_path: Path, purpose: str) -> None:
    authority = Authority.create("test authority", datetime.now(UTC))
    issue = authority.issue_worker if purpose == "sslserver" else authority.issue_frontend
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem())
    (tmp_path / "leaf.pem").write_bytes(issue("node-1", datetime.now(UTC)).certificate)
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose]
    done = subprocess.run(
        [*command, "-CAfile", "ca.pem", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "leaf.pem: OK\n"), done.stderr


def test_a_certificate_needs_only_the_public_key(authority: Authority) -> None:
    key = shared_key("rsa-2048").public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    names = ["www.example.org", "10.0.0.1"]
    made = authority.issue(key, names, CertificateProfile.SERVER, NOW, 90)
    as_server(authority, pem(made), "www.example.org")
    alternatives = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in alternatives.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    assert made.public_key() == key


def test_an_authority_comes_back_from_its_files(authority: Authority) -> None:
    again = Authority.from_pem(authority.certificate_pem(), authority.key_pem())
    worker = again.issue_worker("worker-1.internal", NOW)
    as_server(authority, worker.certificate, "worker-1.internal")


def test_files_that_do_not_belong_together_are_refused(authority: Authority) -> None:
    other = Authority.create("other", NOW)
    with pytest.raises(ValueError, match="does not belong"):
        Authority.from_pem(authority.certificate_pem(), other.key_pem())


def test_a_fingerprint_is_what_openssl_prints(tmp_path: Path, authority: Authority) -> None:
    identity = authority.issue_frontend("frontend-1", NOW)
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256"]
    done = subprocess.run(command, input=identity.certificate, capture_output=True, check=True)
    printed = done.stdout.decode().strip().partition("=")[2].replace(":", "").lower()
    assert identity.fingerprint == printed
    assert fingerprint(x509.load_pem_x509_certificate(identity.certificate)) == printed


def test_no_key_shows_in_a_repr(authority: Authority) -> None:
    identity = authority.issue_worker("worker-1", NOW)
    assert "PRIVATE" not in repr(identity)
    assert isinstance(authority.certificate.public_key(), ec.EllipticCurvePublicKey)
