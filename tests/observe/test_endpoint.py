"""The admin endpoint answers over TCP, a Unix socket and a socket bound before."""

import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from offload.observe import metrics
from offload.observe.endpoint import create_app, serve


@dataclass(frozen=True)
class Where:
    host: str | None = None
    port: int | None = None
    path: Path | None = None


@dataclass
class State:
    ready: bool = True
    healthy: bool = True


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def app(state: State) -> web.Application:
    return create_app(lambda: state.ready, lambda: state.healthy)


@pytest.fixture
async def url(app: web.Application, port: int) -> AsyncIterator[str]:
    runner = await serve(app, Where("127.0.0.1", port))
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def _get(url: str, path: Path | None = None) -> tuple[int, str]:
    connector = aiohttp.UnixConnector(str(path)) if path else None
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_metrics_are_up_to_date(url: str) -> None:
    metrics.SIGNING_RETRIES.labels("endpoint-test").inc(2)
    status, text = await _get(f"{url}/metrics")
    assert status == 200
    assert 'offload_signing_retries_total{reason="endpoint-test"} 2.0' in text


async def test_draining_fails_readiness_only(url: str, state: State) -> None:
    assert await _get(f"{url}/readyz") == (200, "ok\n")
    state.ready = False
    assert await _get(f"{url}/readyz") == (503, "not ready\n")
    assert await _get(f"{url}/healthz") == (200, "ok\n")


async def test_unhealthy_is_not_ready_either(url: str, state: State) -> None:
    state.healthy = False
    assert await _get(f"{url}/healthz") == (503, "unhealthy\n")
    assert await _get(f"{url}/readyz") == (503, "not ready\n")


async def test_nothing_else_is_served(url: str) -> None:
    assert (await _get(f"{url}/"))[0] == 404


async def test_unix_socket_is_private_and_replaces_a_stale_one(
    app: web.Application, tmp_path: Path
) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    runner = await serve(app, Where(path=path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert await _get("http://admin/healthz", path) == (200, "ok\n")
    await runner.cleanup()


async def test_socket_bound_before(app: web.Application) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        runner = await serve(app, listener)
        port = listener.getsockname()[1]
        assert await _get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        await runner.cleanup()


async def test_port_in_use_is_an_error(app: web.Application) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="address already in use"),
    ):
        await serve(app, Where("127.0.0.1", taken.getsockname()[1]))


async def test_readiness_is_told_with_its_notes(port: int, state: State) -> None:
    notes = ["one thing", "another"]
    app = create_app(lambda: state.ready, notes=lambda: notes)
    runner = await serve(app, Where("127.0.0.1", port))
    url = f"http://127.0.0.1:{port}"
    assert await _get(f"{url}/readyz") == (200, "ok\none thing\nanother\n")
    state.ready = False
    assert await _get(f"{url}/readyz") == (503, "not ready\none thing\nanother\n")
    assert await _get(f"{url}/healthz") == (200, "ok\n")
    await runner.cleanup()
