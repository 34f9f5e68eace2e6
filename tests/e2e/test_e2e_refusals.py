"""Clients and front-ends that are turned away, and what is said about it."""

import socket
from collections.abc import Callable

import pytest
from OpenSSL import SSL
from support.chain import PROCESSES, Chain, State
from support.processes import Spawner
from support.programs import curl, run, s_client
from support.tls_client import SocketClient
from support.website import GREETING


@pytest.mark.needs("curl")
def test_a_name_of_no_site_is_refused(chain: Chain) -> None:
    with chain.counted(1, outcome="unknown_server_name"):
        done = run(curl(chain.port, "https://nobody.test/", chain.state.trust))
    assert done.returncode == 35
    assert "unrecognized name" in done.stderr


@pytest.mark.needs("openssl")
def test_without_a_default_site_a_client_without_a_name_is_refused(chain: Chain) -> None:
    with chain.counted(1, outcome="unknown_server_name"):
        printed = s_client(chain.port, None, chain.state.trust)
    assert "unrecognized name" in printed
    assert GREETING not in printed


@pytest.mark.needs("openssl")
def test_the_default_site_takes_who_names_none_or_a_strange_one(
    make_state: Callable[[], State], spawn: Spawner
) -> None:
    running = Chain(make_state(), spawn)
    for name in (None, "nobody.test"):
        assert GREETING in s_client(running.port, name, running.state.trust)


@pytest.mark.needs("curl")
def test_plain_http_is_told_to_use_https(chain: Chain) -> None:
    with chain.counted(1, outcome="not_tls"):
        url = f"http://127.0.0.1:{chain.port}/"
        done = run(["curl", "-sS", "--noproxy", "*", "-w", "%{http_code}", url])
    assert done.returncode == 0
    assert "This port speaks HTTPS" in done.stdout
    assert done.stdout.endswith("400")


def test_other_protocols_get_no_answer(chain: Chain) -> None:
    with chain.counted(1, outcome="not_tls"), _connection(chain) as client:
        client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        assert client.recv(100) == b""


def test_a_client_hello_in_pieces_is_put_together(chain: Chain) -> None:
    trust = chain.state.directory / "certificates" / "p-256.test.pem"
    with SocketClient(chain.port, "p-256.test", trust) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = client.client.step()
        for byte in hello[:-1]:
            client.socket.sendall(bytes((byte,)))
        client.socket.sendall(hello[-1:])
        client.handshake()
        assert client.get().endswith(GREETING.encode())


def test_a_client_hello_that_never_comes_to_its_end_times_out(
    make_state: Callable[[], State], spawn: Spawner
) -> None:
    state = make_state()
    state.front_end["frontend"]["handshake_timeout"] = 0.5
    state.write()
    running = Chain(state, spawn)
    with running.counted(2, outcome="handshake_timeout"):
        for part in (0, 100):
            with SocketClient(running.port, "localhost") as client:
                client.socket.sendall(client.client.step()[:part])
                assert client.receive() == b""
    running.until_idle()


def test_an_expired_front_end_gets_no_link(make_state: Callable[[], State], spawn: Spawner) -> None:
    state = make_state()
    state.expire_front_end()
    state.front_end["frontend"]["pool"]["deadline"] = 0.5
    state.write()
    # It is not ready for long, as it has no link, and takes clients all the same.
    running = Chain(state, spawn, "/healthz")
    running.front_end.wait_for_port(running.port)
    with running.counted(1, outcome="signing_deadline"):
        _fail(running, "localhost")
    assert running.admin.total("offload_pool_links") == 0
    assert running.signatures() == 0
    running.front_end.wait_for_output('certificate expired.*"no link to worker"')
    # Said once by each process for each worker, however often they try.
    assert running.front_end.output.count("no link to worker") <= PROCESSES * len(running.workers)
    for worker in running.workers.values():
        worker.wait_for_output('certificate has expired.*"link turned away"')
    running.until_idle()


def test_a_certificate_whose_key_no_worker_has_fails_its_site_alone(chain: Chain) -> None:
    with chain.counted(1, site="orphan.test", outcome="signing_refused"):
        _fail(chain, "orphan.test")
    chain.front_end.wait_for_output("no such key; add the key to the worker's token and grant it")
    with SocketClient(chain.port, "localhost", chain.state.trust) as client:
        client.handshake()


def _fail(chain: Chain, name: str) -> None:
    with (
        SocketClient(chain.port, name) as client,
        pytest.raises((SSL.Error, ConnectionError)),
    ):
        client.handshake()


def _connection(chain: Chain) -> socket.socket:
    return socket.create_connection(("127.0.0.1", chain.port), timeout=30)
