"""The board shared by forked processes."""

import os

import pytest

from offload.worker.board import Board, State

# From Python 3.12 on, forking beside threads that other tests left warns.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def test_rows_are_seen_by_other_processes() -> None:
    board = Board(3)
    assert not board.ready()
    pid = os.fork()
    if pid == 0:
        board.set_links(1, 7)
        board.set_state(1, State.SERVING)
        os._exit(0)
    os.waitpid(pid, 0)
    assert [board.links(row) for row in range(3)] == [0, 7, 0]
    assert board.state(1) is State.SERVING
    assert board.ready()
    board.set_state(1, State.DRAINING)
    assert not board.ready()
    board.clear(1)
    assert (board.links(1), board.state(1)) == (0, State.DOWN)
