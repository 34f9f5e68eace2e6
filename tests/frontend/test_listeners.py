"""Listening sockets: spread, kept queues, pauses, and the reasons when they cannot be had."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offload.config import Address
from offload.frontend.listeners import ListenError, Listeners

Bind = Callable[..., Listeners]


@pytest.fixture
def bind() -> Iterator[Bind]:
    made: list[Listeners] = []

    def make(*addresses: str, count: int = 1) -> Listeners:
        made.append(Listeners.bind([Address.parse(text) for text in addresses], count, 128))
        return made[-1]

    yield make
    for listeners in made:
        listeners.close()


def port_of(listeners: Listeners) -> int:
    return int(listeners.names[0].rpartition(":")[2])


def accepted(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def connect(port: int, count: int) -> None:
    for _ in range(count):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_every_process_gets_its_share(bind: Bind) -> None:
    listeners = bind("127.0.0.1:0", count=3)
    connect(port_of(listeners), 60)
    shares = [accepted(listeners.of(index)[0]) for index in range(3)]
    assert sum(shares) == 60
    assert min(shares) > 0


def test_accepted_connections_inherit_no_delay(bind: Bind) -> None:
    listeners = bind("127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", port_of(listeners))):
        client, _ = listeners.of(0)[0].accept()
        with client:
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_paused_process_leaves_connections_to_the_others_until_it_listens(bind: Bind) -> None:
    listeners = bind("127.0.0.1:0", count=2)
    port = port_of(listeners)
    listeners.pause(0)
    listeners.pause(0)
    connect(port, 20)
    assert accepted(listeners.of(1)[0]) == 20
    listeners.of(0)[0].listen(128)
    connect(port, 40)
    shares = [accepted(listeners.of(index)[0]) for index in range(2)]
    assert sum(shares) == 40
    assert min(shares) > 0


def test_keep_closes_the_others(bind: Bind) -> None:
    listeners = bind("127.0.0.1:0", count=2)
    first, second = listeners.of(0)[0], listeners.of(1)[0]
    listeners.keep(1)
    assert first.fileno() == -1
    assert listeners.of(1) == [second]
    listeners.keep(None)
    assert second.fileno() == -1


def test_second_instance_is_refused_though_both_would_share_the_port(bind: Bind) -> None:
    address = f"127.0.0.1:{port_of(bind('127.0.0.1:0', count=2))}"
    with pytest.raises(ListenError, match=rf"{address}: address already in use; stop the process"):
        bind(address, count=2)


def test_all_or_nothing(bind: Bind, port: int) -> None:
    taken = f"127.0.0.1:{port_of(bind('127.0.0.1:0'))}"
    with pytest.raises(ListenError):
        bind(f"127.0.0.1:{port}", taken)
    bind(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1:4433", "choose an address of this machine"),
        ("nowhere.invalid:443", "no such host"),
        ("unix:/nonexistent/offload.sock", "create the directory"),
    ],
)
def test_reason_and_remedy(address: str, reason: str, bind: Bind) -> None:
    with pytest.raises(ListenError, match=reason):
        bind(address)


def test_version_6_and_version_4_of_one_port_are_apart(bind: Bind) -> None:
    try:
        port = port_of(bind("[::1]:0"))
    except ListenError:
        return
    bind(f"127.0.0.1:{port}")
    assert bind("[::1]:0").names[0].startswith("[::1]:")


def test_unix_socket_is_shared_and_removed(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "front.sock"
    listeners = bind(f"unix:{path}", count=2)
    assert listeners.of(0) == listeners.of(1)
    assert listeners.names == [f"unix:{path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    listeners.close()
    assert not path.exists()


def test_stale_unix_socket_is_replaced_but_not_a_live_one_or_a_file(
    bind: Bind, tmp_path: Path
) -> None:
    path = tmp_path / "front.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    bind(f"unix:{path}")
    with pytest.raises(ListenError, match="already in use"):
        bind(f"unix:{path}")
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ListenError, match="already in use"):
        bind(f"unix:{tmp_path / 'file'}")
    assert (tmp_path / "file").read_text() == "precious"
