import socket
from pathlib import Path

from offload.cli.demo.ports import free_ports


def test_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))


def test_no_outgoing_connection_takes_them() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # Below that there would be too few to choose from.
    assert first < 20_000 or all(port < first for port in free_ports(50))
