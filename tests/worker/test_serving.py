"""Handing connections from one process to another; the rest is in test_main.py."""

import socket

from offload.worker.serving import hand_over, handed_over


def test_a_connection_changes_hands() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        for _ in clients:
            accepted, _ = listener.accept()
            with accepted:
                assert hand_over(ours, accepted)
        received = list(handed_over(theirs))
        assert len(received) == 3
        for client, connection in zip(clients, received, strict=True):
            with client, connection:
                connection.sendall(b"hello")
                assert client.recv(5) == b"hello"
                assert not connection.get_inheritable()
        assert list(handed_over(theirs)) == []


def test_a_full_queue_takes_no_more() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs, socket.socket() as connection:
        taken = 0
        while hand_over(ours, connection):
            taken += 1
        received = list(handed_over(theirs))
        assert len(received) == taken > 0
        for each in received:
            each.close()


def test_a_closed_end_takes_none() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    with ours, socket.socket() as connection:
        assert not hand_over(ours, connection)
