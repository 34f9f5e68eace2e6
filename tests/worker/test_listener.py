"""Listening sockets and why there may be none."""

import socket
import stat
from pathlib import Path

import pytest

from offload.config import Address
from offload.worker.listener import ListenError, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_listens_on_a_host_and_port(host: str) -> None:
    with listen(Address.parse(f"{host}:0")) as listener:
        assert not listener.getblocking()
        with socket.socket(listener.family) as client:
            client.connect(listener.getsockname())


def test_a_port_in_use_is_told() -> None:
    with listen(Address.parse("127.0.0.1:0")) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: the address is in use"):
            listen(Address.parse(f"127.0.0.1:{port}"))


def test_an_address_of_somebody_else_is_told() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:0: cannot assign"):
        listen(Address.parse("192.0.2.1:0"))


def test_a_unix_socket_is_replaced_only_when_stale(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    address = Address.parse(f"unix:{path}")
    with listen(address):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(ListenError, match="in use"):
            listen(address)
    with listen(address), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_file_in_the_way_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(ListenError, match="in use"):
        listen(Address.parse(f"unix:{path}"))
    assert path.read_text() == "precious"
