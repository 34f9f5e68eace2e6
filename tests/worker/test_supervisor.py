"""Which process gets a link; the life of the processes is tested in test_main.py."""

import socket
from collections.abc import Iterator

import pytest

from offload.worker.board import Board, State
from offload.worker.serving import handed_over
from offload.worker.supervisor import Supervisor


class Stand:
    """A supervisor whose processes are never started; links wait in `outlets`."""

    def __init__(self, processes: int) -> None:
        self.board = Board(processes)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.supervisor = Supervisor(
            self.listener, lambda intake, row: None, self.board,
            processes=processes, drain_timeout=1.0,
        )  # fmt: skip
        for row in range(processes):
            self.board.set_state(row, State.SERVING)

    def connect(self) -> int:
        """Connect once; the row that gets the connection."""
        with socket.create_connection(self.listener.getsockname()):
            self.supervisor.accept()
        for row, outlet in enumerate(self.supervisor.outlets):
            for connection in handed_over(outlet):
                connection.close()
                return row
        raise AssertionError("the connection went nowhere")


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand(3)
    yield stand
    stand.supervisor.close()
    stand.listener.close()


def test_links_that_come_at_once_are_spread(stand: Stand) -> None:
    # The board knows of none of them yet.
    assert sorted(stand.connect() for _ in range(6)) == [0, 0, 1, 1, 2, 2]


def test_the_process_with_the_fewest_links_is_next(stand: Stand) -> None:
    for row, links in enumerate((5, 2, 4)):
        stand.board.set_links(row, links)
    assert stand.connect() == 1
    stand.board.set_links(0, 0)
    assert stand.connect() == 0


def test_a_process_that_is_down_is_passed_over(stand: Stand) -> None:
    stand.board.clear(0)
    assert {stand.connect() for _ in range(4)} == {1, 2}


def test_with_all_down_links_wait_for_the_next_process(stand: Stand) -> None:
    for row in range(3):
        stand.board.clear(row)
    assert stand.connect() in range(3)
