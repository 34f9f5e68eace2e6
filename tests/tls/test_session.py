import gc
import resource

import pytest
from OpenSSL import SSL
from support.handshakes import Client, shake, sign, site
from support.pki import PKI, shared_key

from offload.tls.session import MAX_PENDING, Session, State, TLSError, WrongState
from offload.tls.signature import TLS_1_2, TLS_1_3

CLASSIC = ["rsa-2048", "rsa-4096", "p-256", "p-384", "p-521", "ed25519"]
POST_QUANTUM = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


def state(session: Session) -> State:
    """The state as it is now: a type checker holds on to what it last saw of an attribute."""
    return session.state


def suspended(pki: PKI, client: Client) -> Session:
    session = Session(site(pki.site("site.test")))
    session.handshake(client.step())
    assert session.state is State.SIGNING
    return session


@pytest.mark.parametrize("algorithm", [*CLASSIC, *POST_QUANTUM])
def test_every_algorithm_serves_tls_1_3(pki: PKI, algorithm: str) -> None:
    session = Session(site(pki.site("site.test", algorithm=algorithm)))
    assert shake(session, Client(trust=pki.root), shared_key(algorithm)) == 1
    facts = session.facts()
    assert facts.version == "TLSv1.3"
    assert facts.cipher == "TLS_AES_128_GCM_SHA256"
    assert facts.group == "X25519MLKEM768"
    assert not facts.resumed


@pytest.mark.parametrize("algorithm", CLASSIC)
def test_every_classic_algorithm_serves_tls_1_2(pki: PKI, algorithm: str) -> None:
    session = Session(site(pki.site("site.test", algorithm=algorithm)))
    client = Client(trust=pki.root, version=SSL.TLS1_2_VERSION)
    assert shake(session, client, shared_key(algorithm)) == 1
    assert session.facts().version == "TLSv1.2"


def test_request_names_scheme_and_payload_of_tls_1_3(pki: PKI) -> None:
    session = suspended(pki, Client())
    request = session.request
    assert request is not None
    assert request.version == TLS_1_3
    assert len(request.payload) == 32
    session.abort()


def test_request_of_tls_1_2_has_both_randoms_and_the_curve(pki: PKI) -> None:
    session = suspended(pki, Client(version=SSL.TLS1_2_VERSION))
    request = session.request
    assert request is not None
    assert request.version == TLS_1_2
    assert request.payload[64:67] == b"\x03\x00\x1d", "named_curve, x25519"
    session.abort()


def test_data_flows_both_ways_after_the_handshake(pki: PKI) -> None:
    session, client = Session(site(pki.site("site.test"))), Client()
    shake(session, client, shared_key("p-256"))
    message = bytes(range(256)) * 4096
    sent = b"".join(session.send(message[i : i + 250_000]) for i in range(0, 1 << 20, 250_000))
    assert client.read(sent) == message
    client.tls.sendall(message)
    received = b""
    data = client.output()
    for start in range(0, len(data), 250_000):
        plaintext, output = session.receive(data[start : start + 250_000])
        received += plaintext
        assert output == b""
    assert received == message


def test_close_notify_ends_the_session_and_is_sent(pki: PKI) -> None:
    session, client = Session(site(pki.site("site.test"))), Client()
    shake(session, client, shared_key("p-256"))
    with pytest.raises(SSL.ZeroReturnError):
        client.read(session.shutdown())
    client.tls.shutdown()
    assert session.receive(client.output()) == (b"", b"")
    assert not session.is_open()


def test_garbage_after_the_handshake_is_an_error_with_an_alert(pki: PKI) -> None:
    session, client = Session(site(pki.site("site.test"))), Client()
    shake(session, client, shared_key("p-256"))
    with pytest.raises(TLSError) as caught:
        session.receive(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert caught.value.reasons
    assert session.output
    assert session.state is State.CLOSED


def test_wrong_signature_fails_the_handshake_at_the_client(pki: PKI) -> None:
    client = Client()
    session = suspended(pki, client)
    assert session.request is not None
    signature = sign(shared_key("p-256", 1), session.request)
    assert not session.request.is_answered_by(signature)
    session.resume(signature)
    with pytest.raises(SSL.Error):
        client.step(session.output)


def test_signature_longer_than_the_key_allows_is_refused(pki: PKI) -> None:
    session = suspended(pki, Client())
    with pytest.raises(TLSError, match="does not fit"):
        session.resume(bytes(5000))
    assert session.state is State.CLOSED


def test_abort_while_signing_sends_an_alert_and_ends(pki: PKI) -> None:
    client = Client()
    session = suspended(pki, client)
    session.abort()
    assert session.state is State.CLOSED
    with pytest.raises(SSL.Error, match="alert"):
        client.step(session.output)
    session.abort()
    with pytest.raises(WrongState):
        session.resume(b"late")


def test_answer_is_taken_once(pki: PKI) -> None:
    session = suspended(pki, Client())
    assert session.request is not None
    signature = sign(shared_key("p-256"), session.request)
    session.resume(signature)
    with pytest.raises(WrongState):
        session.resume(signature)


def test_bytes_that_come_while_signing_wait(pki: PKI) -> None:
    client = Client(version=SSL.TLS1_3_VERSION)
    session = suspended(pki, client)
    session.handshake(b"\x14\x03\x03\x00\x01\x01")  # a stray change_cipher_spec, legal here
    assert state(session) is State.SIGNING
    assert session.request is not None
    session.resume(sign(shared_key("p-256"), session.request))
    session.handshake(client.step(session.output))
    assert state(session) is State.OPEN


def test_flood_while_signing_ends_the_session(pki: PKI) -> None:
    session = suspended(pki, Client())
    with pytest.raises(TLSError, match="without waiting"):
        session.handshake(bytes(MAX_PENDING + 1))
    assert session.state is State.CLOSED


def test_garbage_instead_of_finished_is_an_error(pki: PKI) -> None:
    session = suspended(pki, Client())
    assert session.request is not None
    session.resume(sign(shared_key("p-256"), session.request))
    with pytest.raises(TLSError):
        session.handshake(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert session.output


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_ticket_resumes_with_no_signature(pki: PKI, version: int) -> None:
    served = site(pki.site("site.test"))
    first = Client(version=version)
    session = Session(served)
    assert shake(session, first, shared_key("p-256")) == 1
    first.read(session.send(b"x"))  # the ticket of TLS 1.3 comes after the handshake
    second = Session(served)
    client = Client(context=first.context, session=first.tls.get_session())
    assert shake(second, client, shared_key("p-256")) == 0
    assert second.facts().resumed


def test_ticket_of_one_site_does_not_resume_at_another(pki: PKI) -> None:
    first = Client()
    session = Session(site(pki.site("site.test")))
    shake(session, first, shared_key("p-256"))
    first.read(session.send(b"x"))
    other = Session(site(pki.site("other.test"), names=("other.test",)))
    client = Client(context=first.context, session=first.tls.get_session())
    assert shake(other, client, shared_key("p-256")) == 1


def test_one_ticket_is_issued(pki: PKI) -> None:
    session = Session(site(pki.site("site.test")))
    client = Client()
    shake(session, client, shared_key("p-256"))
    before = len(session.send(b"x"))
    assert before < 500


def test_hello_retry_request_is_followed(pki: PKI) -> None:
    from offload.tls.openssl import lib

    served = site(pki.site("site.test"), groups=("P-384",))
    client = Client(
        prepare=lambda context: lib.SSL_CTX_set1_curves_list(context._context, b"X25519:P-384")
    )
    session = Session(served)
    assert shake(session, client, shared_key("p-256")) == 1
    assert session.facts().group == "P-384"


def test_aborted_handshakes_leave_nothing_behind(pki: PKI) -> None:
    served = site(pki.site("site.test"))

    def abort_many(count: int) -> None:
        for _ in range(count):
            client = Client()
            session = Session(served)
            session.handshake(client.step())
            session.abort()

    abort_many(100)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    abort_many(1000)
    gc.collect()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 4096, f"{grown} KiB for 1000 handshakes"
