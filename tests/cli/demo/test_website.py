import asyncio
import sys

import pytest
from support.processes import Spawner

from offload.cli.demo.website import HeaderReader
from offload.frontend.proxy_protocol import Endpoint, Header, Tls, Transport, encode

HEADER = encode(
    Header(
        transport=Transport.TCP4,
        source=Endpoint("192.0.2.7", 4711),
        destination=Endpoint("127.0.0.1", 443),
        authority="<b>.example.org",
        tls=Tls(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256"),
    )
)


@pytest.fixture
def site(spawn: Spawner, port: int) -> int:
    # Nobody answers at port 9 (discard): the page must do without the counts.
    website = spawn(
        sys.executable, "-m", "offload.cli.demo.website", str(port), "http://127.0.0.1:9"
    )
    website.wait_for_port(port)
    return port


async def asked(port: int, *pieces: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_the_page_tells_what_the_header_says(site: int) -> None:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = await asked(site, HEADER[:20], HEADER[20:] + request[:10], request[10:])
    assert answer.startswith("HTTP/1.1 200 OK")
    for text in ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "192.0.2.7, port 4711"):
        assert text in answer
    assert "&lt;b&gt;.example.org" in answer


async def test_other_pages_are_not_there(site: int) -> None:
    request = b"GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await asked(site, HEADER + request)).startswith("HTTP/1.1 404")


async def test_a_connection_without_a_header_is_closed(site: int) -> None:
    try:
        answer = await asked(site, b"GET / HTTP/1.1\r\n\r\n")
    except ConnectionResetError:
        answer = ""
    assert answer == ""


def test_a_reader_needs_a_transport() -> None:
    with pytest.raises(AssertionError):
        HeaderReader(asyncio.Protocol, {}).data_received(b"x")  # type: ignore[arg-type]
