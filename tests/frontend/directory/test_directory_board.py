"""Rows and bells, shared over fork."""

import os
import select
from collections.abc import Iterator

import pytest

from offload.frontend.directory.board import ROW_SIZE, Board


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board(3)
    yield board
    board.close()


def rung(bell: int) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


def test_rows_are_read_in_order_and_empty_ones_left_out(board: Board) -> None:
    assert board.read() == []
    board.write(2, b"two")
    board.write(0, b"zero, longer")
    assert board.read() == [b"zero, longer", b"two"]
    board.write(0, b"0")
    assert board.read() == [b"0", b"two"]
    board.clear(2)
    assert board.read() == [b"0"]


def test_a_row_has_its_bounds(board: Board) -> None:
    longest = ROW_SIZE - 8
    board.write(0, b"x" * longest)
    board.write(1, b"next")
    assert board.read() == [b"x" * longest, b"next"]
    with pytest.raises(ValueError, match="too many"):
        board.write(0, b"x" * (longest + 1))


def test_a_row_half_written_is_none(board: Board) -> None:
    board.write(1, b"whole")
    board._memory[ROW_SIZE + 8] = 0
    assert board.read() == []
    board._memory[ROW_SIZE : ROW_SIZE + 4] = b"\xff" * 4
    assert board.read() == []


def test_a_bell_rings_until_it_is_answered(board: Board) -> None:
    board.answer(board.bell(0))
    board.ring(0)
    board.ring(0)
    assert rung(board.bell(0))
    assert not rung(board.bell(1))
    board.answer(board.bell(0))
    assert not rung(board.bell(0))
    board.ring_all()
    assert [rung(board.bell(row)) for row in range(3)] == [True] * 3
    assert not rung(board.clerks_bell)
    board.ring_clerk()
    assert rung(board.clerks_bell)


def test_nobody_who_rings_is_held_up(board: Board) -> None:
    os.eventfd_write(board.bell(0), 2**64 - 2)
    board.ring(0)
    assert rung(board.bell(0))


def test_nothing_is_settled_at_first(board: Board) -> None:
    assert not board.settled


def test_children_share_it(board: Board) -> None:
    pid = os.fork()
    if pid == 0:
        board.write(1, b"from the child")
        board.settle()
        board.ring_clerk()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert board.read() == [b"from the child"]
    assert board.settled
    assert rung(board.clerks_bell)
