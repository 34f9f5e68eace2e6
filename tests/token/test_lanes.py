"""Sessions that hang, get lost and come back, with a scripted connection."""

import os
import threading
from collections.abc import Iterator

import pytest

from offload.token.base import TokenError, TokenUnavailable, WrongPassphrase
from offload.token.lanes import Lanes, Lost


class ScriptedSession:
    def __init__(self, connection: "ScriptedConnection") -> None:
        self.connection = connection
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def use(self) -> str:
        if self.connection.gone:
            raise Lost("session handle invalid")
        return f"by connection {self.connection.number}"


class ScriptedConnection:
    def __init__(self, number: int) -> None:
        self.number = number
        self.gone = self.closed = self.refuses = False
        self.sessions: list[ScriptedSession] = []

    def open(self) -> ScriptedSession:
        if self.refuses:
            raise Lost("no session")
        self.sessions.append(ScriptedSession(self))
        return self.sessions[-1]

    def close(self) -> None:
        self.closed = True


class Script:
    """An HSM that a test takes away and brings back; time goes only when the test says so."""

    def __init__(self) -> None:
        self.connections: list[ScriptedConnection] = []
        self.attempts = 0
        self.error: Exception | None = None
        self.now = 0.0

    def connect(self) -> ScriptedConnection:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        self.connections.append(ScriptedConnection(len(self.connections) + 1))
        return self.connections[-1]

    def lanes(self, count: int = 2, deadline: float = 10.0) -> Lanes[ScriptedSession]:
        return Lanes(
            self.connect, count=count, deadline=deadline, pause=5.0, clock=lambda: self.now
        )


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def lanes(script: Script) -> Iterator[Lanes[ScriptedSession]]:
    made = script.lanes()
    yield made
    made.close()


def test_nothing_is_connected_before_it_is_needed(script: Script) -> None:
    script.lanes().close()
    assert script.attempts == 0


def test_a_session_is_used_again(script: Script, lanes: Lanes[ScriptedSession]) -> None:
    assert [lanes.run(ScriptedSession.use) for _ in range(3)] == ["by connection 1"] * 3
    assert len(script.connections[0].sessions) == 1


def test_what_the_task_raises_reaches_the_caller(lanes: Lanes[ScriptedSession]) -> None:
    def fail(_session: ScriptedSession) -> None:
        raise TokenError("no such key")

    with pytest.raises(TokenError, match="no such key"):
        lanes.run(fail)
    assert lanes.run(ScriptedSession.use) == "by connection 1"


def test_there_are_no_more_sessions_than_allowed(
    script: Script, lanes: Lanes[ScriptedSession]
) -> None:
    everybody = threading.Barrier(3)
    free = threading.Event()

    def hold(_session: ScriptedSession) -> None:
        everybody.wait(10)
        assert free.wait(10)

    threads = [threading.Thread(target=lanes.run, args=(hold,)) for _ in range(2)]
    third = threading.Thread(target=lanes.run, args=(ScriptedSession.use,))
    for thread in threads:
        thread.start()
    everybody.wait(10)
    third.start()
    free.set()
    for thread in (*threads, third):
        thread.join(10)
    assert len(script.connections[0].sessions) == 2


def test_a_lost_session_is_replaced_unseen(script: Script, lanes: Lanes[ScriptedSession]) -> None:
    lanes.run(ScriptedSession.use)
    script.connections[0].gone = True
    assert lanes.run(ScriptedSession.use) == "by connection 2"
    assert script.connections[0].closed


def test_what_may_not_be_done_twice_is_not_repeated(
    script: Script, lanes: Lanes[ScriptedSession]
) -> None:
    lanes.run(ScriptedSession.use)
    script.connections[0].gone = True
    with pytest.raises(TokenUnavailable, match="session handle invalid"):
        lanes.run(ScriptedSession.use, repeat=False)
    assert lanes.run(ScriptedSession.use, repeat=False) == "by connection 2"


def test_a_connection_that_opens_no_session_is_replaced(
    script: Script, lanes: Lanes[ScriptedSession]
) -> None:
    lanes.run(ScriptedSession.use)
    script.connections[0].gone = script.connections[0].refuses = True
    assert lanes.run(ScriptedSession.use) == "by connection 2"


def test_an_hsm_that_is_away_is_asked_again_after_a_pause(
    script: Script, lanes: Lanes[ScriptedSession]
) -> None:
    lanes.run(ScriptedSession.use)
    script.connections[0].gone = True
    script.error = Lost("no token in the slot")
    for _ in range(3):
        with pytest.raises(TokenUnavailable, match="no token in the slot"):
            lanes.run(ScriptedSession.use)
    assert script.attempts == 2
    script.error = None
    with pytest.raises(TokenUnavailable):
        lanes.run(ScriptedSession.use)
    script.now = 5.0
    assert lanes.run(ScriptedSession.use) == "by connection 2"


def test_a_refused_pin_is_not_tried_again(script: Script, lanes: Lanes[ScriptedSession]) -> None:
    script.error = WrongPassphrase("the HSM refused the PIN")
    for script.now in (0.0, 100.0, 1e9):
        with pytest.raises(WrongPassphrase):
            lanes.run(ScriptedSession.use)
    assert script.attempts == 1


def test_callers_do_not_wait_for_a_call_that_hangs(script: Script) -> None:
    lanes = script.lanes(count=1, deadline=0.05)
    free = threading.Event()
    entered = threading.Event()

    def hang(_session: ScriptedSession) -> None:
        entered.set()
        assert free.wait(10)

    with pytest.raises(TokenUnavailable, match="has not answered"):
        lanes.run(hang)
    assert entered.wait(10)
    with pytest.raises(TokenUnavailable, match="every session hangs"):
        lanes.run(ScriptedSession.use)
    free.set()
    while True:
        try:
            assert lanes.run(ScriptedSession.use) == "by connection 1"
            break
        except TokenUnavailable:
            continue
    lanes.close()


def test_callers_do_not_wait_for_a_session_for_ever(script: Script) -> None:
    lanes = script.lanes(count=1, deadline=0.2)
    free = threading.Event()
    entered = threading.Event()

    def work(_session: ScriptedSession) -> None:
        entered.set()
        assert free.wait(10)

    def run_late() -> None:
        with pytest.raises(TokenUnavailable):
            lanes.run(work)

    thread = threading.Thread(target=run_late)
    thread.start()
    assert entered.wait(10)
    with pytest.raises(TokenUnavailable, match=r"in use|hangs|not answered"):
        lanes.run(ScriptedSession.use)
    # Only when it has given up: what is answered in time is taken.
    thread.join(10)
    free.set()
    lanes.close()


def test_a_closed_one_logs_out_and_refuses(script: Script) -> None:
    lanes = script.lanes()
    lanes.run(ScriptedSession.use)
    lanes.close()
    assert script.connections[0].closed
    assert script.connections[0].sessions[0].closed
    with pytest.raises(TokenError, match="closed"):
        lanes.run(ScriptedSession.use)
    lanes.close()


def test_another_process_is_told_to_open_its_own(
    lanes: Lanes[ScriptedSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes.run(ScriptedSession.use)
    elsewhere = os.getpid() + 1
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: elsewhere)
        with pytest.raises(TokenError, match="open it in this one"):
            lanes.run(ScriptedSession.use)
