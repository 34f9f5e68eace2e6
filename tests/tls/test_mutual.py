"""Mutual TLS in memory: our own two sides, and a peer of another TLS library."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from support.pki import PKI, Issued

from offload.config import Identity
from offload.tls.mutual import (
    CredentialsUnusable,
    MutualSession,
    PeerRejected,
    ProtocolViolation,
    client_context,
    server_context,
)


def identity(issued: Issued) -> Identity:
    return Identity(certificate=issued.certificate_path, key=issued.key_path)


def connect(client: MutualSession, server: MutualSession) -> None:
    """Carry bytes until both are open. Raises what either raises."""
    data = client.handshake(b"")
    while data:
        answer = server.handshake(data)
        data = b"" if client.open else client.handshake(answer)
    client.receive(answer)  # the end of the server's handshake
    assert client.open
    assert server.open


@pytest.fixture
def worker(pki: PKI) -> Issued:
    return pki.identity("worker-1")


@pytest.fixture
def frontend(pki: PKI) -> Issued:
    return pki.identity("frontend-1")


def test_both_sides_know_each_other(pki: PKI, worker: Issued, frontend: Issued) -> None:
    client = MutualSession(client_context(identity(frontend), pki.root_path), "worker-1")
    server = MutualSession(server_context(identity(worker), pki.root_path), None)
    connect(client, server)
    der = serialization.Encoding.DER
    assert server.peer_certificate() == frontend.certificate.public_bytes(der)
    assert client.peer_certificate() == worker.certificate.public_bytes(der)
    assert server.receive(bytes(client.send(b"question"))) == (b"question", b"")
    assert client.receive(bytes(server.send(b"answer")))[0] == b"answer"
    assert server.receive(bytes(client.send(b"last words")) + client.shutdown())[0] == b"last words"
    assert not server.open


def test_a_worker_of_another_name_is_rejected(pki: PKI, worker: Issued, frontend: Issued) -> None:
    client = MutualSession(client_context(identity(frontend), pki.root_path), "worker-2")
    server = MutualSession(server_context(identity(worker), pki.root_path), None)
    with pytest.raises(PeerRejected, match=r"(?i)hostname mismatch"):
        connect(client, server)


@pytest.mark.parametrize("stranger", ["client", "server"])
def test_a_certificate_of_another_authority_is_rejected(
    pki: PKI, worker: Issued, frontend: Issued, tmp_path: Path, stranger: str
) -> None:
    other = PKI(tmp_path)
    mine = other.identity("frontend-1") if stranger == "client" else frontend
    its = other.identity("worker-1") if stranger == "server" else worker
    client = MutualSession(client_context(identity(mine), pki.root_path), "worker-1")
    server = MutualSession(server_context(identity(its), pki.root_path), None)
    with pytest.raises(PeerRejected, match="certificate verify failed"):
        connect(client, server)


def test_an_expired_certificate_is_rejected(pki: PKI, worker: Issued) -> None:
    expired = pki.identity("frontend-1", days=-1)
    client = MutualSession(client_context(identity(expired), pki.root_path), "worker-1")
    server = MutualSession(server_context(identity(worker), pki.root_path), None)
    with pytest.raises(PeerRejected, match="expired"):
        connect(client, server)


def memory_client(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return context.wrap_bio(incoming, outgoing, server_hostname="worker-1"), incoming, outgoing


def test_a_client_without_a_certificate_is_rejected(pki: PKI, worker: Issued) -> None:
    server = MutualSession(server_context(identity(worker), pki.root_path), None)
    client, incoming, outgoing = memory_client(ssl.create_default_context(cafile=pki.root_path))
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(server.handshake(outgoing.read()))
    client.do_handshake()
    with pytest.raises(PeerRejected, match="did not return a certificate"):
        server.handshake(outgoing.read())


def test_tls_1_2_is_refused(pki: PKI, worker: Issued) -> None:
    server = MutualSession(server_context(identity(worker), pki.root_path), None)
    context = ssl.create_default_context(cafile=pki.root_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, _, outgoing = memory_client(context)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(PeerRejected, match="unsupported protocol"):
        server.handshake(outgoing.read())


def test_garbage_ends_an_open_connection(pki: PKI, worker: Issued, frontend: Issued) -> None:
    client = MutualSession(client_context(identity(frontend), pki.root_path), "worker-1")
    server = MutualSession(server_context(identity(worker), pki.root_path), None)
    connect(client, server)
    with pytest.raises(ProtocolViolation, match="decryption failed"):
        server.receive(b"\x17\x03\x03\x00\x20" + bytes(32))


def test_files_that_are_of_no_use_are_named(pki: PKI, frontend: Issued, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(CredentialsUnusable, match=r"gone\.pem: no such file.*authority"):
        client_context(identity(frontend), tmp_path / "gone.pem")
    with pytest.raises(CredentialsUnusable, match=r"empty\.pem: not usable: .*authority"):
        client_context(identity(frontend), empty)
    with pytest.raises(CredentialsUnusable, match="leaf first"):
        wrong = Identity(certificate=empty, key=frontend.key_path)
        server_context(wrong, pki.root_path)
    with pytest.raises(CredentialsUnusable, match="mismatch"):
        other = Identity(certificate=frontend.certificate_path, key=pki.identity("other").key_path)
        server_context(other, pki.root_path)


def test_an_encrypted_key_is_refused_without_a_prompt(
    pki: PKI, frontend: Issued, tmp_path: Path
) -> None:
    path = tmp_path / "encrypted.key"
    path.write_bytes(
        frontend.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    with pytest.raises(CredentialsUnusable, match="unencrypted PEM key") as caught:
        client_context(Identity(certificate=frontend.certificate_path, key=path), pki.root_path)
    assert "passphrase" not in str(caught.value)
