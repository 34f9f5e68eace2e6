"""A client's connection until its handshake is done, or how it ends before."""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path
from random import Random
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

import pytest
from frontend.conftest import Start
from OpenSSL import SSL
from support.client_hellos import hello, message, record, server_name
from support.handshakes import Client
from support.pki import PKI, Issued, shared_key
from support.serving import (
    Growth,
    LocalSigner,
    Running,
    Stream,
    TLSClient,
    WebBackend,
    held,
    signed,
)

from offload.config import Caps, FrontendCluster, Limits, Listener, SourceCaps, SqliteSettings
from offload.frontend.proxy_protocol import LOCAL, Endpoint, Header, Transport, decode, encode
from offload.keys.algorithm import Algorithm
from offload.keys.identifier import subject_key_identifier
from offload.observe import metrics
from offload.pool.errors import (
    DeadlineExceeded,
    LinkLost,
    NoCapacity,
    NoWorkerAvailable,
    PoolClosed,
    Refused,
    SigningError,
)
from offload.pool.operation import SigningOperation, State

DEFAULT: dict[str, Any] = {"default": True}
NAMED: dict[str, Any] = {"names": ("site.test",)}
VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]


def failed(site: str, reason: str) -> Growth:
    return Growth(metrics.HANDSHAKES, site, "none", "none", "none", "none", reason)


# handshakes that come to their end


@pytest.mark.parametrize(
    ("version", "facts"),
    [
        (VERSIONS[0], ("TLSv1.2", "X25519", "ECDHE-ECDSA-AES128-GCM-SHA256")),
        (VERSIONS[1], ("TLSv1.3", "X25519MLKEM768", "TLS_AES_128_GCM_SHA256")),
    ],
)
async def test_handshake_is_signed_by_the_pool_and_counted(
    start: Start, pki: PKI, echo: WebBackend, version: int, facts: tuple[str, str, str]
) -> None:
    running = await start({**NAMED, "backends": (echo.address,)})
    grown = Growth(metrics.HANDSHAKES, "site.test", *facts, "no", "complete")
    accepted = Growth(metrics.CONNECTIONS_ACCEPTED)
    relays = metrics.CONNECTIONS.labels("relay")
    before = relays.value
    client = await TLSClient.connect(running, trust=pki.root, version=version)
    await client.send(b"hello")
    assert await client.exactly(5) == b"hello"
    assert (grown.value, accepted.value, relays.value - before) == (1, 1, 1)
    client.close()
    await running.server.until_empty()
    assert relays.value == before


async def test_operation_says_what_is_signed_and_for_whom(start: Start) -> None:
    running = await start(DEFAULT)
    client = await TLSClient.connect(running, server_name=b"www.Site.test")
    (operation,) = running.pool.submitted
    assert operation.ski == subject_key_identifier(shared_key("p-256").public_key())
    assert operation.algorithm is Algorithm.P_256
    assert (operation.scheme, operation.version) == (0x0403, 0x0304)
    assert len(operation.payload) == 32
    assert operation.server_name == "www.site.test"
    assert operation.client_address == bytes((127, 0, 0, 1))
    assert len(operation.client_random) == 32
    client.close()


async def test_client_of_the_ssl_module_verifies_the_site(
    start: Start, pki: PKI, echo: WebBackend
) -> None:
    running = await start({**NAMED, "backends": (echo.address,), "alpn": ("http/1.1",)})
    context = ssl.create_default_context(cafile=str(pki.root_path))
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=context, server_hostname="site.test"
    )
    tls = writer.get_extra_info("ssl_object")
    assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()
    await writer.wait_closed()
    await running.server.until_empty()


async def test_hello_may_come_in_pieces(start: Start) -> None:
    running = await start(DEFAULT)
    stream, client = await Stream.connect(running), Client()
    first = client.step()
    for offset in range(0, len(first), 100):
        await stream.send(first[offset : offset + 100])
        await asyncio.sleep(0)
    made = TLSClient(stream, client)
    await made.handshake()
    assert running.server.failures == []
    made.close()


async def test_resumption_asks_for_no_signature(start: Start, echo: WebBackend) -> None:
    running = await start({**NAMED, "backends": (echo.address,)})
    first = await TLSClient.connect(running)
    await first.send(b"x")
    await first.exactly(1)  # the ticket came before it
    facts = "TLSv1.3", "X25519MLKEM768", "TLS_AES_128_GCM_SHA256"
    grown = Growth(metrics.HANDSHAKES, "site.test", *facts, "yes", "complete")
    tls = first.client.tls
    again = await TLSClient.connect(
        running, context=first.client.context, session=tls.get_session()
    )
    await running.server.until(lambda: len(running.server.relays) == 2)
    assert grown.value == 1
    assert len(running.pool.submitted) == 1
    first.close()
    again.close()


async def test_client_is_served_while_another_s_signature_is_under_way(
    start: Start, echo: WebBackend
) -> None:
    running = await start({**DEFAULT, "backends": (echo.address,)})
    slow, _ = await held(running)
    honest = LocalSigner(shared_key("p-256"))
    running.pool.script = honest
    quick = await TLSClient.connect(running)
    running.pool.release(honest)
    await slow.handshake()
    for client in (slow, quick):
        await client.send(b"ping")
        assert await client.exactly(4) == b"ping"
        client.close()


# what is no TLS


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "CONNECT"])
async def test_plain_http_is_told_to_use_https(start: Start, method: str) -> None:
    running = await start(DEFAULT)
    grown = failed("none", "not_tls")
    stream = await Stream.connect(running)
    await stream.send(f"{method} / HTTP/1.1\r\nHost: site.test\r\n\r\n".encode())
    head, body = (await stream.rest()).split(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 400 Bad Request"
    assert f"Content-Length: {len(body)}" in lines
    assert "Connection: close" in lines
    assert b"https://" in body
    assert grown.value == 1
    stream.close()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", "not_tls"),
        (b"SSH-2.0-client\r\n", "not_tls"),
        (record(b"\x02" + bytes(40)), "malformed_client_hello"),
        (hello(server_name(b"a\0b")), "malformed_client_hello"),
        (record(message(bytes(20))), "malformed_client_hello"),
    ],
)
async def test_garbage_is_closed_without_a_word(start: Start, data: bytes, reason: str) -> None:
    running = await start(DEFAULT)
    grown = failed("none", reason)
    stream = await Stream.connect(running)
    await stream.send(data)
    assert await stream.rest() == b""
    assert grown.value == 1
    assert running.server.failures == [(reason, None)]
    stream.close()


# names and agreements that fail


@pytest.mark.parametrize("name", [b"unknown.test", None])
async def test_unknown_name_gets_the_alert(start: Start, name: bytes | None) -> None:
    running = await start(NAMED)
    grown = failed("none", "unknown_server_name")
    client = await TLSClient.begin(running, server_name=name)
    alert = await client.stream.rest()
    assert alert == b"\x15\x03\x03\x00\x02\x02\x70"
    with pytest.raises(SSL.Error, match="unrecognized name"):
        client.client.step(alert)
    assert grown.value == 1
    assert running.pool.submitted == []
    client.close()


async def test_a_site_whose_certificate_is_still_to_come_is_refused(
    start: Start, issued: Issued, tmp_path: Path
) -> None:
    cluster = FrontendCluster(
        name="front", state=tmp_path, catalogue=SqliteSettings(path=tmp_path / "catalogue.db")
    )
    running = await start({**NAMED, "certificates": (), "keys": ("web",)}, cluster=cluster)
    with pytest.raises(SSL.Error, match="unrecognized name"):
        await TLSClient.connect(running)
    assert running.server.failures == [("no_certificate", "site.test")]
    service = running.server.service("site.test")
    assert service is not None
    service.site.install({"web": issued.chain_pem})
    (await TLSClient.connect(running)).close()


async def test_client_that_openssl_refuses_gets_its_alert(start: Start) -> None:
    running = await start({**NAMED, "min_version": "1.3"})
    grown = failed("site.test", "tls_error")
    with pytest.raises(SSL.Error, match="protocol version"):
        await TLSClient.connect(running, version=SSL.TLS1_2_VERSION)
    assert grown.value == 1
    assert running.server.failures == [("tls_error", "site.test")]


# signatures that do not come


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "error",
    [
        NoWorkerAvailable("no worker"),
        DeadlineExceeded("late"),
        Refused("worker", 2),
        LinkLost("worker", "reset"),
        PoolClosed("closed"),
    ],
    ids=lambda error: error.outcome,
)
async def test_failure_of_the_pool_is_an_alert_at_once(
    start: Start, version: int, error: SigningError
) -> None:
    running = await start(NAMED)
    grown = failed("site.test", f"signing_{error.outcome}")
    running.pool.script = lambda _: error
    with pytest.raises(SSL.Error, match="alert"):
        await TLSClient.connect(running, version=version)
    assert grown.value == 1
    assert running.server.connections == 0


@pytest.mark.parametrize("how", ["abort", "close", "finish"])
async def test_client_that_leaves_cancels_its_signature(start: Start, how: str) -> None:
    running = await start(NAMED)
    grown = failed("site.test", "client_closed")
    client, operation = await held(running)
    getattr(client.stream, how)()
    await running.server.until(lambda: running.server.failures)
    assert running.server.connections == 0
    assert operation.state is State.CANCELLED
    assert grown.value == 1
    running.pool.release(LocalSigner(shared_key("p-256")))  # the answer comes all the same
    assert running.server.failures == [("client_closed", "site.test")]
    client.close()


async def test_client_that_floods_while_its_signature_is_under_way_is_closed(start: Start) -> None:
    running = await start(NAMED)
    client, operation = await held(running)
    client.stream.writer.write(bytes(100_000))
    await running.server.until(lambda: running.server.failures)
    assert running.server.failures == [("tls_error", "site.test")]
    assert operation.state is State.CANCELLED
    client.stream.abort()


# time


@pytest.mark.parametrize("length", [0, 1, 5, 200])
async def test_client_that_never_finishes_its_hello_is_closed(start: Start, length: int) -> None:
    running = await start(DEFAULT, handshake_timeout=3.0)
    grown = failed("none", "handshake_timeout")
    stream = await Stream.connect(running)
    await stream.send(Client().step()[:length])
    await running.server.until(lambda: running.server.connections)
    running.server.skip(3.5)
    assert await stream.rest() == b""
    assert grown.value == 1
    stream.close()


async def test_handshake_within_its_time_is_let_alone(start: Start) -> None:
    running = await start(DEFAULT, handshake_timeout=3.0)
    early = await Stream.connect(running)
    await running.server.until(lambda: running.server.connections)
    running.server.skip(2.0)
    late = await TLSClient.begin(running, server_name=None)
    await running.server.until(lambda: running.server.connections == 2)
    running.server.skip(1.5)
    assert await early.rest() == b""
    await late.handshake()
    assert running.server.failures == [("handshake_timeout", None)]
    late.close()


async def test_time_that_ends_while_signing_is_an_alert(start: Start) -> None:
    running = await start(NAMED, handshake_timeout=3.0)
    client, operation = await held(running)
    running.server.skip(3.5)
    with pytest.raises(SSL.Error, match="alert"):
        await client.handshake()
    assert operation.state is State.CANCELLED
    assert running.server.failures == [("handshake_timeout", "site.test")]
    client.close()


# wrong signatures


def liar(running: Running, *wrong: Any) -> None:
    """The first signatures are those of other keys; then an honest worker answers."""
    honest = LocalSigner(shared_key("rsa-2048"), shared_key("p-256"))
    answers = list(wrong)

    def script(operation: SigningOperation) -> bytes:
        name = "rsa-2048" if operation.algorithm is Algorithm.RSA_2048 else "p-256"
        if not answers:
            running.pool.name = "honest"
            return honest(operation)
        answer = answers.pop()
        return bytes(answer) if answer is not None else signed(operation, shared_key(name, 1))

    running.pool.name = "liar"
    running.pool.script = script


@pytest.mark.parametrize("algorithm", ["rsa-2048", "p-256"])
@pytest.mark.parametrize("wrong", [None, b"", b"garbage", bytes(5000)])
async def test_wrong_signature_is_asked_for_elsewhere(
    start: Start, pki: PKI, echo: WebBackend, algorithm: str, wrong: bytes | None
) -> None:
    issued: Issued = pki.site("site.test", algorithm=algorithm)
    running = await start({**NAMED, "backends": (echo.address,)}, issued=issued)
    liar(running, wrong)
    client = await TLSClient.connect(running, trust=pki.root)
    await client.send(b"ping")
    assert await client.exactly(4) == b"ping"
    first, second = running.pool.submitted
    assert running.pool.bad == [first]
    assert second.exclude == {"liar"}
    assert second.payload == first.payload
    client.close()


@pytest.mark.parametrize("version", VERSIONS)
async def test_after_a_clients_decrypt_error_the_signer_is_checked(
    start: Start, version: int
) -> None:
    running = await start(NAMED)
    rule = running.server.verification
    for name in ("liar", "other"):
        while rule.is_due(name, Algorithm.P_256):
            pass
    rule._random = Random(0)
    running.pool.name = "liar"
    running.pool.script = lambda operation: signed(operation, shared_key("p-256", 1))
    client = await TLSClient.begin(running, version=version)
    with pytest.raises(SSL.Error, match="bad signature"):
        await client.handshake()
    await client.stream.send(client.client.output())
    await running.server.until(lambda: running.server.failures)
    assert running.server.failures == [("tls_error", "site.test")]
    assert rule.is_due("liar", Algorithm.P_256)
    assert not rule.is_due("other", Algorithm.P_256)
    client.stream.abort()


@pytest.mark.parametrize("error", [NoCapacity("too much to do"), NoWorkerAvailable("down")])
async def test_who_cannot_be_served_is_reset_where_that_is_configured(
    start: Start, error: SigningError
) -> None:
    running = await start(NAMED, on_overload="reset")
    grown = failed("site.test", f"signing_{error.outcome}")
    running.pool.script = lambda _: error
    with pytest.raises(ConnectionResetError):
        await TLSClient.connect(running)
    assert grown.value == 1
    assert running.server.connections == 0
    running.pool.script = lambda _: Refused("worker", 2)
    with pytest.raises(SSL.Error, match="alert"):
        await TLSClient.connect(running)


async def test_last_worker_that_lies_ends_the_handshake(start: Start, pki: PKI) -> None:
    running = await start(NAMED, issued=pki.site("site.test", algorithm="rsa-2048"))
    liar(running, None)
    answered = running.pool.script

    def script(operation: SigningOperation) -> bytes | SigningError | None:
        return NoWorkerAvailable("all excluded") if operation.exclude else answered(operation)

    running.pool.script = script
    with pytest.raises(SSL.Error, match="alert"):
        await TLSClient.connect(running)
    assert running.server.failures == [("signing_no_worker", "site.test")]


async def test_client_that_leaves_while_asking_elsewhere_cancels_that(
    start: Start, pki: PKI
) -> None:
    running = await start(NAMED, issued=pki.site("site.test", algorithm="rsa-2048"))
    liar(running, None)
    answered, again = running.pool.script, asyncio.Event()

    def script(operation: SigningOperation) -> bytes | SigningError | None:
        if not operation.exclude:
            return answered(operation)
        again.set()
        return None

    running.pool.script = script
    client = await TLSClient.begin(running)
    async with asyncio.timeout(20):
        await again.wait()
    client.stream.abort()
    await running.server.until(lambda: running.server.failures)
    assert running.pool.submitted[1].state is State.CANCELLED


async def test_every_signature_is_checked_when_all_are(start: Start) -> None:
    running = await start(DEFAULT, verify="all")
    for _ in range(18):
        (await TLSClient.connect(running)).close()
    liar(running, None)
    (await TLSClient.connect(running)).close()
    assert len(running.pool.bad) == 1


# limits


async def test_source_beyond_its_connections_is_reset_and_counted(
    start: Start, echo: WebBackend
) -> None:
    limits = Limits(source=SourceCaps(connections=1))
    running = await start({**DEFAULT, "backends": (echo.address,)}, limits=limits, processes=1)
    refused = Growth(metrics.CONNECTIONS_REFUSED, "source", "connections")
    outcome = failed("none", "limit")
    first = await TLSClient.connect(running)
    with pytest.raises(ConnectionResetError):
        await (await Stream.connect(running)).rest()
    assert (refused.value, outcome.value, running.server.connections) == (1, 1, 1)
    await first.send(b"ping")
    assert await first.exactly(4) == b"ping"
    first.close()
    await running.server.until_empty()
    (await TLSClient.connect(running)).close()


async def test_site_beyond_its_rate_is_reset_and_others_are_served(start: Start) -> None:
    rate = Caps(handshakes_per_second=0.001)
    running = await start({**NAMED, "limits": rate}, {"names": ("other.test",)}, processes=1)
    refused = Growth(metrics.CONNECTIONS_REFUSED, "site", "rate")
    (await TLSClient.connect(running)).close()
    with pytest.raises(ConnectionResetError):
        await TLSClient.connect(running)
    assert refused.value == 1
    (await TLSClient.connect(running, server_name=b"other.test")).close()


async def test_handshake_that_fails_leaves_its_place_to_the_next(start: Start) -> None:
    running = await start(NAMED, limits=Limits(handshakes=1), processes=1)
    stalled = await Stream.connect(running)
    await running.server.until(lambda: running.server.connections)
    with pytest.raises(ConnectionResetError):
        await (await Stream.connect(running)).rest()
    stalled.close()
    await running.server.until_empty()
    (await TLSClient.connect(running)).close()


# behind a proxy


V1 = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"
V2 = encode(
    Header(
        transport=Transport.TCP6,
        source=Endpoint("2001:db8::7", 4711),
        destination=Endpoint("2001:db8::1", 443),
    )
)


def listening(*proxies: str) -> dict[str, Any]:
    table = {"address": "127.0.0.1:0", "proxy_protocol": proxies}
    return {"listen": (Listener.model_validate(table),), "processes": 1}


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (V1, inet_pton(AF_INET, "198.51.100.7")),
        (V2, inet_pton(AF_INET6, "2001:db8::7")),
        (b"PROXY UNKNOWN\r\n", inet_pton(AF_INET, "127.0.0.1")),
        (encode(LOCAL), inet_pton(AF_INET, "127.0.0.1")),
    ],
)
@pytest.mark.parametrize("piece", [1, 1000])
async def test_a_listed_proxy_says_who_the_client_is(
    start: Start, web: WebBackend, header: bytes, address: bytes, piece: int
) -> None:
    backends = {"backends": (web.address,), "proxy_protocol": True}
    running = await start({**DEFAULT, **backends}, **listening("127.0.0.0/8"))
    stream, client = await Stream.connect(running), Client()
    first = header + client.step()
    for offset in range(0, len(header), piece):
        await stream.send(first[offset : min(offset + piece, len(header))])
        await asyncio.sleep(0)
    await stream.send(first[len(header) :])
    made = TLSClient(stream, client)
    await made.handshake()
    (operation,) = running.pool.submitted
    assert operation.client_address == address
    await made.send(b"x")
    backend = await web.accept()
    fixed = await backend.exactly(16)
    told = decode(fixed + await backend.exactly(int.from_bytes(fixed[14:])))
    assert told is not None
    assert told.header.source is not None
    assert ip_address(told.header.source.host).packed == address
    made.close()


async def test_limits_are_those_of_the_client_behind_the_proxy(start: Start) -> None:
    limits = Limits(source=SourceCaps(connections=1))
    running = await start(DEFAULT, limits=limits, **listening("127.0.0.1/32"))
    for header in (V1, V2):
        stream = await Stream.connect(running)
        await stream.send(header)
    third = await Stream.connect(running)
    await third.send(V1)
    with pytest.raises(ConnectionResetError):
        await third.rest()


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"PROXY TCP4 a b c d\r\n", Client().step()]
)
async def test_a_listed_proxy_without_a_good_header_is_closed(start: Start, data: bytes) -> None:
    running = await start(DEFAULT, **listening("127.0.0.1/32"))
    stream = await Stream.connect(running)
    await stream.send(data)
    assert await stream.rest() == b""
    assert running.server.failures == [("proxy_header", None)]


async def test_nobody_else_s_header_is_believed(start: Start) -> None:
    running = await start(DEFAULT, **listening("10.0.0.0/8", "unix"))
    stream = await Stream.connect(running)
    await stream.send(V1)
    assert await stream.rest() == b""
    assert running.server.failures == [("not_tls", None)]
    (await TLSClient.connect(running)).close()


# names and protocols that must agree


async def test_default_site_may_refuse_a_strange_name_and_take_none(start: Start) -> None:
    running = await start({**DEFAULT, **NAMED, "match_server_name": True})
    with pytest.raises(SSL.Error, match="unrecognized name"):
        await TLSClient.connect(running, server_name=b"unknown.test")
    for name in (None, b"site.test"):
        (await TLSClient.connect(running, server_name=name)).close()


async def test_client_that_offers_other_protocols_alone_is_refused(start: Start, pki: PKI) -> None:
    running = await start({**NAMED, "alpn": ("h2", "http/1.1")})
    context = ssl.create_default_context(cafile=str(pki.root_path))
    context.set_alpn_protocols(["ftp"])
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol|alert.number.120"):
        await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=context, server_hostname="site.test"
        )
