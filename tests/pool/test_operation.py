"""The law of an operation: every call in every state, and what is heard of it."""

import weakref
from collections.abc import Callable

import pytest

from offload.keys.algorithm import Algorithm
from offload.pool.errors import (
    AlreadyAnswered,
    AlreadyAsked,
    AlreadyCancelled,
    DeadlineExceeded,
    NotAnswered,
    NotAsked,
    OperationMisuse,
)
from offload.pool.operation import Done, SigningOperation, State

ERROR = DeadlineExceeded("late")
Call = Callable[[SigningOperation], object]

PATHS: dict[State, list[str]] = {
    State.NEW: [],
    State.ASKED: ["ask"],
    State.SUCCEEDED: ["ask", "succeed"],
    State.FAILED: ["ask", "fail"],
    State.CANCELLED: ["ask", "cancel"],
}
CALLS: dict[str, Call] = {
    "ask": lambda operation: operation.ask(1.0, 6.0),
    "succeed": lambda operation: operation.succeed(b"signature"),
    "fail": lambda operation: operation.fail(ERROR),
    "cancel": lambda operation: operation.cancel(),
}
LAW: dict[State, tuple[State | type[OperationMisuse], ...]] = {
    State.NEW: (State.ASKED, NotAsked, NotAsked, State.CANCELLED),
    State.ASKED: (AlreadyAsked, State.SUCCEEDED, State.FAILED, State.CANCELLED),
    State.SUCCEEDED: (AlreadyAsked, AlreadyAnswered, AlreadyAnswered, State.SUCCEEDED),
    State.FAILED: (AlreadyAsked, AlreadyAnswered, AlreadyAnswered, State.FAILED),
    State.CANCELLED: (AlreadyCancelled, State.CANCELLED, State.CANCELLED, State.CANCELLED),
}
MATRIX = [
    (state, call, expected)
    for state, row in LAW.items()
    for call, expected in zip(CALLS, row, strict=True)
]


def make(done: Done) -> SigningOperation:
    return SigningOperation(
        b"k" * 20, Algorithm.P_256, 0x0403, 0x0304, b"h" * 32, "a.test", b"\x7f\0\0\1", done
    )


@pytest.mark.parametrize(("state", "call", "expected"), MATRIX)
def test_every_call_in_every_state(
    state: State, call: str, expected: State | type[OperationMisuse]
) -> None:
    heard: list[SigningOperation] = []
    operation = make(heard.append)
    for step in PATHS[state]:
        CALLS[step](operation)
    assert operation.state is state
    before = len(heard)
    if isinstance(expected, State):
        CALLS[call](operation)
        assert operation.state is expected
    else:
        with pytest.raises(expected):
            CALLS[call](operation)
        assert operation.state is state
    answered = operation.state is not state and operation.state in (State.SUCCEEDED, State.FAILED)
    assert len(heard) - before == answered


def test_a_cancelled_new_operation_cannot_be_asked() -> None:
    operation = make(lambda operation: None)
    operation.cancel()
    with pytest.raises(AlreadyCancelled, match="cancelled before"):
        operation.ask(1.0, 2.0)


def test_the_answer_is_set_when_done_is_called() -> None:
    seen: list[tuple[bytes | None, object]] = []
    operation = make(lambda operation: seen.append((operation.signature, operation.error)))
    operation.ask(1.0, 6.0)
    operation.succeed(b"signature")
    other = make(lambda operation: seen.append((operation.signature, operation.error)))
    other.ask(1.0, 6.0)
    other.fail(ERROR)
    assert seen == [(b"signature", None), (None, ERROR)]
    assert (operation.started, operation.deadline) == (1.0, 6.0)


def test_done_may_not_answer_again() -> None:
    errors: list[type[Exception]] = []

    def done(operation: SigningOperation) -> None:
        try:
            operation.succeed(b"again")
        except AlreadyAnswered as error:
            errors.append(type(error))

    operation = make(done)
    operation.ask(1.0, 6.0)
    operation.succeed(b"signature")
    assert errors == [AlreadyAnswered]
    assert operation.signature == b"signature"


def test_elsewhere_asks_for_the_same_of_another() -> None:
    heard: list[SigningOperation] = []
    operation = make(heard.append)
    operation.ask(1.0, 6.0)
    operation.worker = "alpha"
    operation.succeed(b"wrong")
    second = operation.elsewhere(heard.append)
    assert second.exclude == {"alpha"}
    for field in ("ski", "algorithm", "scheme", "version", "payload", "server_name"):
        assert getattr(second, field) == getattr(operation, field)
    second.ask(2.0, 7.0)
    second.succeed(b"right")
    assert heard == [operation, second]


def test_elsewhere_needs_a_signature() -> None:
    operation = make(lambda operation: None)
    operation.ask(1.0, 6.0)
    with pytest.raises(NotAnswered):
        operation.elsewhere(lambda operation: None)


def test_repr_shows_neither_payload_nor_signature() -> None:
    operation = make(lambda operation: None)
    operation.ask(1.0, 6.0)
    operation.succeed(b"signature")
    assert "hhhh" not in repr(operation)
    assert "signature" not in repr(operation)
    assert "succeeded" in repr(operation)


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
def test_an_ended_operation_does_not_keep_its_asker_alive(end: str) -> None:
    class Asker:
        def done(self, operation: SigningOperation) -> None:
            pass

    asker = Asker()
    gone = weakref.ref(asker)
    operation = make(asker.done)
    operation.ask(1.0, 6.0)
    CALLS[end](operation)
    del asker
    assert gone() is None
