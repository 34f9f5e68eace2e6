"""A chain that goes into a context, and makes room for its successor."""

import pytest
from cryptography import x509
from OpenSSL import SSL
from support.handshakes import BACKEND, Client, shake
from support.pki import ALGORITHMS, PKI, Issued

from offload.config import Site as SiteSettings
from offload.keys.identifier import subject_key_identifier
from offload.tls.chain import Chain, ChainError
from offload.tls.session import Session
from offload.tls.site import Site


def served_after(before: Issued, after: Issued) -> x509.Certificate | None:
    """What a client is served with, after `before` has been replaced by `after`."""
    site = Site(SiteSettings(default=True, keys=("web",), backends=(BACKEND,)))
    site.install({"web": before.chain_pem})
    context = site.context
    assert site.install({"web": after.chain_pem}) == (True, ())
    assert site.context is context
    client = Client()
    shake(Session(site), client, after.key)
    return client.tls.get_peer_certificate(as_cryptography=True)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_certificate_renewed_for_the_same_key(pki: PKI, algorithm: str) -> None:
    before, after = (pki.site("site.test", algorithm=algorithm) for _ in range(2))
    assert before.certificate != after.certificate
    assert served_after(before, after) == after.certificate


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "rsa-4096"])
def test_certificate_for_another_key(pki: PKI, algorithm: str) -> None:
    before, after = (
        pki.site("site.test", algorithm=algorithm, number=number) for number in range(2)
    )
    assert served_after(before, after) == after.certificate


def test_key_of_another_curve_or_length_takes_the_same_place(pki: PKI) -> None:
    p256, p384, rsa, longer = (
        pki.site("site.test", algorithm=name) for name in ("p-256", "p-384", "rsa-2048", "rsa-3072")
    )
    assert served_after(p256, p384) == p384.certificate
    assert served_after(rsa, longer) == longer.certificate


def test_chain_knows_its_key(pki: PKI) -> None:
    issued = pki.site("site.test")
    chain = Chain(issued.chain_pem + pki.root_path.read_bytes())
    assert chain.key.ski == subject_key_identifier(issued.key.public_key())
    assert chain.slot == "ECDSA"


@pytest.mark.parametrize("content", [b"", b"no PEM"])
def test_what_is_no_chain_is_refused(content: bytes) -> None:
    with pytest.raises(ChainError):
        Chain(content)


def test_a_context_of_its_own_is_asked_first(pki: PKI) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(ChainError, match="OpenSSL does not take the certificate"):
        Chain(pki.site("site.test").chain_pem + broken)


def test_a_vacated_context_has_no_key(pki: PKI) -> None:
    chain = Chain(pki.site("site.test").chain_pem)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    chain.use(context)
    chain.vacate(context)
    with pytest.raises(SSL.Error):
        context.check_privatekey()
