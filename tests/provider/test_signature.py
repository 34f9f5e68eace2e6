"""Signatures in real handshakes: every key type, both protocol versions, and what goes wrong."""

import resource

import pytest
from OpenSSL import SSL
from support.fresh_process import fresh_process
from support.memory_tls import Site, handshake, move
from support.signer import PKCS1, PSS, Signer

from offload.keys.identifier import subject_key_identifier
from offload.provider import _native

PREFIX_TLS_1_3 = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"

# What OpenSSL's client and server agree on: digest and padding, by key and version.
EXPECTED = {
    "rsa-2048": {"1.2": ("SHA2-256", PSS), "1.3": ("SHA2-256", PSS)},
    "p-256": {"1.2": ("SHA2-256", 0), "1.3": ("SHA2-256", 0)},
    "p-384": {"1.2": ("SHA2-256", 0), "1.3": ("SHA2-384", 0)},
    "p-521": {"1.2": ("SHA2-256", 0), "1.3": ("SHA2-512", 0)},
    "ed25519": {"1.2": ("", 0), "1.3": ("", 0)},
    "ml-dsa-44": {"1.3": ("", 0)},
    "ml-dsa-65": {"1.3": ("", 0)},
    "ml-dsa-87": {"1.3": ("", 0)},
}
RSA_SCHEMES = {
    "rsa_pkcs1_sha256": ("SHA2-256", PKCS1),
    "rsa_pkcs1_sha384": ("SHA2-384", PKCS1),
    "rsa_pkcs1_sha512": ("SHA2-512", PKCS1),
    "rsa_pss_rsae_sha384": ("SHA2-384", PSS),
    "rsa_pss_rsae_sha512": ("SHA2-512", PSS),
}


@pytest.mark.parametrize("algorithm", EXPECTED)
@fresh_process
def test_a_client_accepts_the_signature_of_a_key_that_is_elsewhere(algorithm: str) -> None:
    site = Site(algorithm)
    for version, expected in EXPECTED[algorithm].items():
        signer = Signer(site.key)
        _native.set_sign(signer)
        client = site.connect(version)

        handshake(client, site.accept())

        assert client.get_protocol_version_name() == f"TLSv{version}"
        (request,) = signer.requests
        assert (request.digest, request.padding) == expected
        assert request.key_id == subject_key_identifier(site.key.public_key())
        _check_content(version, request.content)


def _check_content(version: str, content: bytes) -> None:
    if version == "1.3":
        assert content.startswith(PREFIX_TLS_1_3)
        assert len(content) - len(PREFIX_TLS_1_3) in (32, 48)
    else:
        # Two randoms, then named_curve x25519 and its point (RFC 8422 5.4).
        assert content[64:68] == b"\x03\x00\x1d\x20"
        assert len(content) == 64 + 4 + 32


@fresh_process
def test_rsa_signs_by_the_scheme_that_the_client_wants() -> None:
    site = Site("rsa-2048")
    for scheme, expected in RSA_SCHEMES.items():
        signer = Signer(site.key)
        _native.set_sign(signer)

        handshake(site.connect("1.2", f"{scheme}:ecdsa_secp256r1_sha256".encode()), site.accept())

        (request,) = signer.requests
        assert (request.digest, request.padding) == expected


@fresh_process
def test_a_hook_that_fails_ends_the_handshake_with_its_reason() -> None:
    site = Site("rsa-2048")
    _expect_failure(site, "no sign hook set")
    for answer, reason in {
        bytes(0): "the key operation failed",
        bytes(255): "the key operation gave a signature of a wrong length",
        bytes(257): "the key operation failed",
    }.items():
        _native.set_sign(lambda *_, answer=answer: answer)
        _expect_failure(site, reason)

    def raises(*_: object) -> bytes:
        raise ConnectionError("worker down")

    _native.set_sign(raises)
    _expect_failure(site, "the key operation failed")
    _native.set_sign(Signer(site.key))
    handshake(site.connect("1.3"), site.accept())


def _expect_failure(site: Site, reason: str) -> None:
    client, server = site.connect("1.3"), site.accept()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    move(client, server)
    with pytest.raises(SSL.Error) as failure:
        server.do_handshake()
    assert ("offload", "", reason) in failure.value.args[0]


@fresh_process
def test_failed_handshakes_leave_nothing_behind() -> None:
    site = Site("rsa-2048")
    _native.set_sign(lambda *_: bytes(255))
    client = site.connect("1.3")
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    hello = client.bio_read(1 << 16)

    def fail(times: int) -> int:
        for _ in range(times):
            server = site.accept()
            server.bio_write(hello)
            with pytest.raises(SSL.Error):
                server.do_handshake()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = fail(200)
    after = fail(2000)

    # A connection left behind by each would be some 40 MB; smaller leaks the sanitizers see.
    assert after - before < 2048
