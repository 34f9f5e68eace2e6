"""The admin address and the socket of one person."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.pki import PKI
from support.rest import Rest, managed, served

from offload.admin import serving
from offload.admin.application import application
from offload.admin.authentication import LocalAuthenticator
from offload.admin.serving import DirectoryOpen, serve, serve_locally
from offload.admin.tls import server_context
from offload.cluster.acts import CreateKey


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with managed(pki) as made:
        yield made


def local(rest: Rest) -> LocalAuthenticator:
    return LocalAuthenticator(rest.actor("kim")._replace(via="local"))


async def test_one_person_manages_over_a_private_socket(rest: Rest, tmp_path: Path) -> None:
    path = tmp_path / "run" / "api.sock"
    app = application(rest.management, rest.node, local(rest))
    serving = await serve_locally(app, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://local/v1/keys", json={"label": "www"}) as response,
    ):
        assert response.status == 201
    await serving.close()
    assert not path.exists()
    assert rest.done == [CreateKey(label="www")]
    assert {one["via"] for one in rest.audit.records} == {"local"}


async def test_a_directory_that_others_can_enter_is_refused(rest: Rest, tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    app = application(rest.management, rest.node, local(rest))
    with pytest.raises(DirectoryOpen, match="chmod 700"):
        await serve_locally(app, tmp_path / "api.sock")


async def test_a_socket_that_is_bound_already_can_be_served(rest: Rest, pki: PKI) -> None:
    mine = pki.identity("worker-1")
    context = server_context(mine.certificate_path, mine.key_path, pki.root_path)
    bound = socket.create_server(("127.0.0.1", 0))
    serving = await serve(application(rest.management, rest.node, local(rest)), bound, context)
    rest.url = f"https://127.0.0.1:{bound.getsockname()[1]}"
    answer = await rest.ask("", "GET", "/v1/session")
    assert answer.json()["via"] == "local"
    await rest.session("").close()
    await serving.close()


async def test_an_address_in_use_is_told_of(rest: Rest, pki: PKI) -> None:
    mine = pki.identity("worker-1")
    context = server_context(mine.certificate_path, mine.key_path, pki.root_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = application(rest.management, rest.node, local(rest))
        with pytest.raises(OSError):
            await serve(app, ("127.0.0.1", taken.getsockname()[1]), context)


async def test_who_sends_no_request_keeps_no_connection(
    pki: PKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "KEEP_ALIVE_SECONDS", 0.1)
    async with served(pki) as rest, asyncio.timeout(10):
        port = int(rest.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=rest.client_context("kim")
        )
        writer.write(b"GET /v1/keys HTTP/1.1\r\nHost: ")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_who_makes_no_handshake_keeps_no_connection(
    pki: PKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HANDSHAKE_SECONDS", 0.1)
    async with served(pki) as rest, asyncio.timeout(10):
        port = int(rest.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
