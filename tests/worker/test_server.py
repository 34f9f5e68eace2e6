"""The server over real mutual TLS on the loopback address."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from support.front_end import FrontEnd, client_context
from support.managed_keys import appliance, managed_key
from support.pki import PKI, Issued
from support.worker_server import Running

from offload.audit.sink import FakeAuditSink
from offload.catalogue.base import Event
from offload.config import FrontendGrant, Identity
from offload.keys.algorithm import Algorithm
from offload.keys.managed import KeyPolicy
from offload.keys.record import KeyRecord
from offload.keys.scheme import SignatureScheme
from offload.observe import metrics
from offload.observe.family import CounterFamily
from offload.tls.mutual import server_context
from offload.token.base import KeyNotFound, TokenError
from offload.token.fake import FakeToken
from offload.wire.codec import encode
from offload.wire.error import ErrorCode
from offload.wire.message import (
    Decrypt,
    Failure,
    Ping,
    PlainSign,
    Pong,
    Signature,
    TlsSign,
    Unknown,
)
from offload.wire.opcode import Opcode
from offload.worker import link as link_module
from offload.worker.entitlements import Entitlements
from offload.worker.grant import Grants
from offload.worker.policy import SERVER_CONTEXT
from offload.worker.server import Server
from offload.worker.use import TLS_1_3


def record(label: str, algorithm: Algorithm) -> KeyRecord:
    ski = label.encode().ljust(20, b"-")
    return KeyRecord(ski, label, algorithm, b"", datetime.now(UTC))


QUICK = record("quick", Algorithm.P_256)
COSTLY = record("costly", Algorithm.RSA_2048)
SECRET = record("secret", Algorithm.P_256)
HASH = bytes(range(32))


@pytest.fixture(scope="module")
def known(pki: PKI) -> Issued:
    return pki.identity("known-front-end")


@pytest.fixture(scope="module")
def worker_identity(pki: PKI) -> Identity:
    issued = pki.identity("worker")
    return Identity(certificate=issued.certificate_path, key=issued.key_path)


@pytest.fixture
def token() -> Iterator[FakeToken]:
    token = FakeToken([QUICK, COSTLY, SECRET], in_process=[Algorithm.P_256])
    yield token
    token.close()


@pytest.fixture
async def running(
    token: FakeToken, known: Issued, worker_identity: Identity, pki: PKI
) -> AsyncIterator[Running]:
    grant = FrontendGrant(name="known", fingerprint=known.fingerprint, keys=("quick", "costly"))
    context = server_context(worker_identity, pki.root_path)
    running = Running(Server(token, Grants([grant]), context, threads=2))
    yield running
    token.release()
    running.stop()


@pytest.fixture
async def front_end(running: Running, known: Issued, pki: PKI) -> AsyncIterator[FrontEnd]:
    front_end = await FrontEnd.connect(running.port, client_context(known, pki.root_path))
    yield front_end
    front_end.close()


def tls_sign(number: int, key: KeyRecord, payload: bytes = HASH) -> TlsSign:
    scheme = {
        Algorithm.P_256: SignatureScheme.ECDSA_SECP256R1_SHA256,
        Algorithm.RSA_2048: SignatureScheme.RSA_PSS_RSAE_SHA256,
    }[key.algorithm]
    return TlsSign(number, key.ski, scheme, TLS_1_3, payload)


def count(family: CounterFamily, *labels: str) -> float:
    metrics.flush()
    name = family.name
    return (
        metrics.REGISTRY.get_sample_value(name, dict(zip(family.label_names, labels, strict=True)))
        or 0.0
    )


@pytest.mark.parametrize("key", [QUICK, COSTLY], ids=["on-the-loop", "in-a-thread"])
async def test_a_handshake_is_signed(front_end: FrontEnd, key: KeyRecord) -> None:
    signed = Signature(7, b"signed:" + SERVER_CONTEXT + HASH)
    before = count(metrics.WORKER_OPERATIONS, key.algorithm, "signed")
    assert await front_end.ask(tls_sign(7, key)) == signed
    assert count(metrics.WORKER_OPERATIONS, key.algorithm, "signed") == before + 1


async def test_many_at_once_are_each_answered(front_end: FrontEnd) -> None:
    numbers = range(300)
    keys = [COSTLY if number % 3 else QUICK for number in numbers]
    front_end.send(*map(tls_sign, numbers, keys))
    answers = [await front_end.receive() for _ in numbers]
    assert all(type(answer) is Signature for answer in answers)
    assert sorted(answer.id for answer in answers) == list(numbers)


async def test_an_unknown_front_end_is_closed_at_once(
    running: Running, pki: PKI, token: FakeToken
) -> None:
    stranger = pki.identity("stranger")
    before = count(metrics.WORKER_LINK_ERRORS, "unknown_frontend")
    link = await FrontEnd.connect(running.port, client_context(stranger, pki.root_path))
    link.send(tls_sign(1, QUICK))
    assert await link.ended()
    assert token.calls == []
    assert running.server.links == 0
    assert count(metrics.WORKER_LINK_ERRORS, "unknown_frontend") == before + 1


@pytest.mark.parametrize("who", ["nobody", "of another authority"])
async def test_a_peer_without_our_certificate_is_refused(
    running: Running, pki: PKI, tmp_path_factory: pytest.TempPathFactory, who: str
) -> None:
    identity = None
    if who != "nobody":
        identity = PKI(tmp_path_factory.mktemp("other")).identity("other")
    # In TLS 1.3 the client has finished before the server looks at its certificate.
    link = await FrontEnd.connect(running.port, client_context(identity, pki.root_path))
    assert await link.ended()
    assert running.server.links == 0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (tls_sign(1, SECRET), ErrorCode.KEY_NOT_FOUND),
        (tls_sign(1, record("absent", Algorithm.P_256)), ErrorCode.KEY_NOT_FOUND),
        (tls_sign(1, QUICK, bytes(33)), ErrorCode.FORMAT),
        (TlsSign(1, QUICK.ski, 0x0804, TLS_1_3, HASH), ErrorCode.FORMAT),
        (Decrypt(1, Opcode.RSA_DECRYPT), ErrorCode.BAD_OPCODE),
        (Decrypt(1, Opcode.RSA_DECRYPT_RAW), ErrorCode.BAD_OPCODE),
        (PlainSign(1, Opcode.ECDSA_SIGN_SHA256, QUICK.ski, HASH), ErrorCode.BAD_OPCODE),
        (Unknown(1, Opcode.UNSEAL), ErrorCode.BAD_OPCODE),
    ],
)
async def test_refusals_name_their_code_and_the_link_goes_on(
    front_end: FrontEnd,
    token: FakeToken,
    request_: TlsSign | Decrypt | PlainSign | Unknown,
    code: ErrorCode,
) -> None:
    assert await front_end.ask(request_) == Failure(1, code)
    assert token.calls == []
    assert type(await front_end.ask(tls_sign(2, QUICK))) is Signature


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TokenError("the token is gone"), ErrorCode.CRYPTO),
        (KeyNotFound("removed"), ErrorCode.KEY_NOT_FOUND),
    ],
)
@pytest.mark.parametrize("key", [QUICK, COSTLY], ids=["on-the-loop", "in-a-thread"])
async def test_a_failing_token_is_an_answer(
    front_end: FrontEnd, token: FakeToken, key: KeyRecord, error: TokenError, code: ErrorCode
) -> None:
    token.fail_with(error)
    assert await front_end.ask(tls_sign(3, key)) == Failure(3, code)


async def test_a_malformed_frame_ends_only_that_link(
    running: Running, front_end: FrontEnd, known: Issued, pki: PKI
) -> None:
    other = await FrontEnd.connect(running.port, client_context(known, pki.root_path))
    assert type(await other.ask(Ping(1, b"there"))) is Pong
    before = count(metrics.WORKER_LINK_ERRORS, "malformed_frame")
    other.writer.write(b"\xff" * 64)
    assert await other.ended()
    assert count(metrics.WORKER_LINK_ERRORS, "malformed_frame") == before + 1
    assert type(await front_end.ask(tls_sign(2, COSTLY))) is Signature


async def test_pings_are_answered_while_signatures_wait(
    front_end: FrontEnd, token: FakeToken
) -> None:
    token.hold()
    front_end.send(*(tls_sign(number, COSTLY) for number in range(8)))
    assert await front_end.ask(Ping(99, b"alive?")) == Pong(99, b"alive?")
    token.release()
    assert {(await front_end.receive()).id for _ in range(8)} == set(range(8))


async def test_a_frame_may_come_in_pieces(front_end: FrontEnd) -> None:
    frame = encode(tls_sign(5, QUICK))
    for position in range(len(frame)):
        front_end.writer.write(frame[position : position + 1])
        await front_end.writer.drain()
    assert type(await front_end.receive()) is Signature


async def test_a_link_that_runs_ahead_is_not_read(
    front_end: FrontEnd, token: FakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_UNANSWERED", 16)
    monkeypatch.setattr(link_module, "RESUME_AT", 8)
    token.hold()
    front_end.send(*(tls_sign(number, COSTLY) for number in range(20)))
    assert type(await front_end.ask(Ping(99))) is Pong
    # Whatever is sent now stays unread: the worker has all it will take.
    front_end.send(Ping(100))
    for _ in range(50):
        await asyncio.sleep(0)
    token.release()
    answers = [await front_end.receive() for _ in range(21)]
    assert {answer.id for answer in answers} == {*range(20), 100}
    assert type(await front_end.ask(tls_sign(101, QUICK))) is Signature


async def test_a_drain_finishes_what_is_in_flight(
    running: Running, front_end: FrontEnd, token: FakeToken, known: Issued, pki: PKI
) -> None:
    token.hold()
    front_end.send(*(tls_sign(number, COSTLY) for number in range(4)))
    assert type(await front_end.ask(Ping(9))) is Pong
    drained = asyncio.ensure_future(running.server.drain())
    await asyncio.sleep(0)
    assert not drained.done()
    late = asyncio.ensure_future(
        FrontEnd.connect(running.port, client_context(known, pki.root_path))
    )
    with pytest.raises(OSError):
        await late
    token.release()
    assert {(await front_end.receive()).id for _ in range(4)} == set(range(4))
    assert await front_end.ended()
    await asyncio.wait_for(drained, 10)
    assert running.server.links == 0


async def test_an_idle_server_drains_at_once(running: Running) -> None:
    await asyncio.wait_for(running.server.drain(), 1)


async def test_a_front_end_that_left_is_forgotten(
    running: Running, front_end: FrontEnd, token: FakeToken
) -> None:
    token.hold()
    front_end.send(tls_sign(1, COSTLY))
    assert type(await front_end.ask(Ping(2))) is Pong
    assert running.server.links == 1
    front_end.close()
    # The signature is still held: the drain ends because the link is gone.
    await asyncio.wait_for(running.server.drain(), 10)
    assert running.server.links == 0
    token.release()


async def test_a_key_added_later_is_served_after_reload(
    running: Running, front_end: FrontEnd, token: FakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = record("added", Algorithm.P_256)
    request = TlsSign(1, added.ski, SignatureScheme.ECDSA_SECP256R1_SHA256, TLS_1_3, HASH)
    assert await front_end.ask(request) == Failure(1, ErrorCode.KEY_NOT_FOUND)
    token.add(KeyRecord(added.ski, "quick", Algorithm.P_256, b"", added.created))
    monkeypatch.setattr(token, "reload", lambda: True)
    running.server.reload()
    assert type(await front_end.ask(request)) is Signature


async def test_a_token_that_cannot_be_reloaded_goes_on(
    running: Running, front_end: FrontEnd, token: FakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> bool:
        raise TokenError("a file is damaged")

    monkeypatch.setattr(token, "reload", broken)
    running.server.reload()
    assert type(await front_end.ask(tls_sign(1, QUICK))) is Signature


class HeldSink(FakeAuditSink):
    """Records nothing before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def append(self, kind: str, *records: Mapping[str, Any]) -> None:
        assert self.go.wait(10)
        super().append(kind, *records)


@pytest.fixture
async def audited(
    token: FakeToken, known: Issued, worker_identity: Identity, pki: PKI
) -> AsyncIterator[tuple[Running, HeldSink]]:
    entitlements = Entitlements()
    key = managed_key(QUICK, KeyPolicy(audit_signatures=True), generation=2)
    plain = managed_key(COSTLY)
    entitlements.take(
        [
            Event("appliances/known", appliance("known", known.fingerprint).body(), 1),
            *(Event(f"keys/{one.ski.hex()}", one.body(), 1) for one in (key, plain)),
        ]
    )
    sink = HeldSink()
    context = server_context(worker_identity, pki.root_path)
    running = Running(Server(token, entitlements, context, threads=1, audit=sink))
    yield running, sink
    sink.go.set()
    await running.server.stop_recording()
    running.stop()


async def test_a_signature_leaves_once_it_is_recorded(
    audited: tuple[Running, HeldSink], known: Issued, pki: PKI
) -> None:
    running, sink = audited
    link = await FrontEnd.connect(running.port, client_context(known, pki.root_path))
    link.send(tls_sign(1, QUICK), tls_sign(2, COSTLY))
    # What needs no record is not held up by what does.
    assert (await link.receive()).id == 2
    drained = asyncio.ensure_future(running.server.drain())
    assert sink.records == []
    sink.go.set()
    assert type(await link.receive()) is Signature
    (record_,) = sink.records
    assert (record_["kind"], record_["frontend"]) == ("signature", "known")
    assert (record_["generation"], record_["transcript_hash"]) == (2, HASH.hex())
    assert await link.ended()
    await asyncio.wait_for(drained, 10)
    assert running.server.signatures == {QUICK.ski: 1, COSTLY.ski: 1}


async def test_without_its_record_no_signature_leaves(
    audited: tuple[Running, HeldSink], known: Issued, pki: PKI
) -> None:
    running, sink = audited
    sink.broken = True
    sink.go.set()
    link = await FrontEnd.connect(running.port, client_context(known, pki.root_path))
    assert await link.ask(tls_sign(1, QUICK)) == Failure(1, ErrorCode.INTERNAL)
    assert type(await link.ask(tls_sign(2, COSTLY))) is Signature
    assert running.server.signatures == {COSTLY.ski: 1}
    link.close()
