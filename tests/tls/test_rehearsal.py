"""A handshake with ourselves, whose signature comes from elsewhere."""

import pytest
from support.handshakes import sign, site
from support.pki import ALGORITHMS, PKI, shared_key

from offload.tls.openssl import lib
from offload.tls.rehearsal import Rehearsal
from offload.tls.session import Session, State, TLSError


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("settings", [{}, {"alpn": ("h2",)}, {"groups": ("P-384",)}])
def test_is_complete_with_the_right_signature(
    pki: PKI, algorithm: str, settings: dict[str, tuple[str, ...]]
) -> None:
    issued = pki.site("site.test", algorithm=algorithm)
    rehearsal = Rehearsal(Session(site(issued, **settings)), "secret.canary.offload.invalid")
    request = rehearsal.begin()
    assert request is not None
    assert not rehearsal.complete
    assert rehearsal.resume(sign(issued.key, request)) is None
    assert rehearsal.complete


def test_another_keys_signature_fails(pki: PKI) -> None:
    rehearsal = Rehearsal(Session(site(pki.site("site.test"))), "site.test")
    request = rehearsal.begin()
    assert request is not None
    with pytest.raises(TLSError, match="bad signature"):
        rehearsal.resume(sign(shared_key("p-256", 1), request))


def test_abort_ends_it_while_it_waits(pki: PKI) -> None:
    session = Session(site(pki.site("site.test")))
    rehearsal = Rehearsal(session, "site.test")
    assert rehearsal.begin() is not None
    rehearsal.abort()
    assert session.state is State.CLOSED


def test_a_site_that_no_client_can_speak_with_fails(pki: PKI) -> None:
    served = site(pki.site("site.test"))
    assert lib.SSL_CTX_set1_curves_list(served.context._context, b"brainpoolP256r1tls13") == 1
    with pytest.raises(TLSError):
        Rehearsal(Session(served), "site.test").begin()
