"""TERM lets what runs come to its end and takes nothing new; a second TERM ends at once."""

import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from support.chain import Chain, State, environment, until
from support.content import blocks
from support.processes import Spawned, Spawner
from support.programs import curl
from support.tls_client import SocketClient

SIZE = 4_000_000

pytestmark = pytest.mark.needs("curl")


@pytest.fixture
def running(make_state: Callable[[], State], spawn: Spawner) -> Chain:
    state = make_state()
    state.front_end["frontend"]["drain_timeout"] = 600.0
    state.write()
    return Chain(state, spawn)


@pytest.fixture
def download(running: Chain, spawn: Spawner, tmp_path: Path) -> tuple[Spawned, Path]:
    """A download of which half has come, and the rest waits for `_open_gate`."""
    file = tmp_path / "received"
    url = f"https://localhost/gated/{SIZE}"
    command = curl(running.port, url, running.state.trust, "--output", str(file), "--no-buffer")
    assert "OPENSSL_CONF" not in environment()
    client = spawn("env", "-u", "OPENSSL_CONF", *command)
    until(lambda: file.exists() and file.stat().st_size >= SIZE // 2, "half the download")
    return client, file


def _open_gate(running: Chain) -> None:
    url = f"http://127.0.0.1:{running.state.website_port}/gate"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=30):
        pass


def _refused(running: Chain) -> bool:
    try:
        socket.create_connection(("127.0.0.1", running.port), timeout=30).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass
    return False


def test_a_running_download_comes_to_its_end(
    running: Chain, download: tuple[Spawned, Path]
) -> None:
    client, file = download
    with SocketClient(running.port, "localhost") as other:
        other.handshake()
        running.front_end.signal(signal.SIGTERM)
        running.front_end.wait_for_output('"phase":"draining"')
        until(lambda: _refused(running), "refusal of new connections")
        assert running.admin.get("/readyz")[0] == 503
        assert running.admin.get("/healthz")[0] == 200
        _open_gate(running)
        assert client.wait(45) == 0
        assert file.read_bytes() == b"".join(blocks(SIZE))
        # What is idle but open holds the end up until its client leaves.
        assert running.front_end.process.poll() is None
    assert running.front_end.wait(45) == 0
    assert "Traceback" not in running.front_end.output


def test_a_second_term_ends_at_once(running: Chain, download: tuple[Spawned, Path]) -> None:
    client, file = download
    pids = running.front_end_pids()
    running.front_end.signal(signal.SIGTERM)
    until(lambda: _refused(running), "refusal of new connections")
    running.front_end.signal(signal.SIGTERM)
    assert running.front_end.wait(45) == 0
    assert client.wait(45) != 0
    assert file.stat().st_size < SIZE
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_the_deadline_ends_what_does_not_end_by_itself(
    make_state: Callable[[], State], spawn: Spawner
) -> None:
    state = make_state()
    state.front_end["frontend"]["drain_timeout"] = 0.5
    state.write()
    running = Chain(state, spawn)
    with SocketClient(running.port, "localhost") as client:
        client.handshake()
        running.front_end.signal(signal.SIGTERM)
        while client.receive():
            pass
    assert running.front_end.wait(45) == 0
    running.front_end.wait_for_output("drain deadline passed")


def test_a_worker_that_drains_leaves_its_work_to_the_other(running: Chain) -> None:
    running.until_linked()
    running.workers["worker-1"].signal(signal.SIGTERM)
    for _ in range(20):
        with SocketClient(running.port, "localhost", running.state.trust) as client:
            client.handshake()
    assert running.workers["worker-1"].wait(45) == 0
    for _ in range(20):
        with SocketClient(running.port, "localhost", running.state.trust) as client:
            client.handshake()
    running.admin.until_total("offload_handshakes_total", 40, outcome="complete")
    assert running.handshakes() == 40
