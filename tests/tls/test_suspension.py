"""Calls that wait for a key operation: held, gone on with, ended; greenlets used again."""

import gc
import sys
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
from greenlet import getcurrent, greenlet
from support.handshakes import Client, site
from support.pki import PKI

from offload.provider import _native
from offload.tls.suspension import Aborted, KeyOperation, Suspended

OPERATION = KeyOperation(b"k" * 20, "SHA2-256", 0, b"content")


def ask(operation: KeyOperation = OPERATION) -> Any:
    """What the provider's hook does: hand the operation to whoever runs the call."""
    parent = getcurrent().parent
    assert parent is not None
    return parent.switch(operation)


def signing(argument: bytes) -> tuple[bytes, bytes]:
    return argument, ask()


def where(_: bytes) -> greenlet:
    return getcurrent()


def started(function: Callable[[bytes], Any] = signing) -> Suspended:
    call = Suspended()
    assert call.run(function, b"argument") == OPERATION
    return call


def test_call_that_needs_no_key_returns_at_once() -> None:
    assert Suspended().run(bytes.upper, b"result") == b"RESULT"


def test_call_goes_on_with_the_signature() -> None:
    assert started().resume(b"signature") == (b"argument", b"signature")


def test_call_may_be_suspended_again() -> None:
    second = OPERATION._replace(content=b"second")
    call = started(lambda argument: (argument, ask(), ask(second)))
    assert call.resume(b"one") == second
    assert call.resume(b"two") == (b"argument", b"one", b"two")


def test_many_calls_are_held_at_once_and_end_in_any_order() -> None:
    calls = [Suspended() for _ in range(400)]
    for number, call in enumerate(calls):
        assert call.run(signing, b"%d" % number) == OPERATION
    results = {number: calls[number].resume(b"s%d" % number) for number in reversed(range(400))}
    assert results == {number: (b"%d" % number, b"s%d" % number) for number in range(400)}


def test_greenlet_is_used_again() -> None:
    first = Suspended().run(where, b"")
    call = Suspended()
    assert call.run(lambda _: (ask(), getcurrent()), b"") == OPERATION
    assert call.resume(b"")[1] is first
    assert Suspended().run(where, b"") is first


def test_greenlets_of_a_crowd_are_not_all_kept() -> None:
    calls = [Suspended() for _ in range(600)]
    seen = []
    for call in calls:
        assert call.run(lambda _: (ask(), ref(getcurrent()))[1], b"") == OPERATION
    for call in calls:
        seen.append(call.resume(b""))
    gc.collect()
    assert sum(each() is not None for each in seen) <= 256


def test_what_was_called_is_not_kept_alive() -> None:
    class Connection:
        def handshake(self, _: bytes) -> bytes:
            return b"done"

    connection = Connection()
    assert Suspended().run(connection.handshake, b"") == b"done"
    kept = ref(connection)
    del connection
    assert kept() is None


@pytest.mark.parametrize("suspended", [False, True])
def test_exception_of_the_call_reaches_the_caller(suspended: bool) -> None:
    def failing(_: bytes) -> None:
        if suspended:
            ask()
        raise ZeroDivisionError("as expected")

    call = Suspended()
    if suspended:
        assert call.run(failing, b"") == OPERATION
    with pytest.raises(ZeroDivisionError, match="as expected"):
        call.resume(b"") if suspended else call.run(failing, b"")
    assert Suspended().run(bytes.upper, b"next") == b"NEXT"


def test_abort_unwinds_the_call() -> None:
    unwound = []

    def waiting(_: bytes) -> None:
        try:
            ask()
        finally:
            unwound.append(sys.exc_info()[0])

    started(waiting).abort(Aborted())
    assert unwound == [Aborted]


def test_abort_ends_a_call_that_swallows_the_error() -> None:
    def stubborn(_: bytes) -> bytes:
        try:
            ask()
        except Aborted:
            return b"went on"
        return b""

    started(stubborn).abort(Aborted())
    assert Suspended().run(bytes.upper, b"next") == b"NEXT"


def test_error_that_the_unwinding_itself_makes_is_told() -> None:
    def broken(_: bytes) -> None:
        try:
            ask()
        except Aborted:
            raise ZeroDivisionError("while unwinding") from None

    with pytest.raises(ZeroDivisionError):
        started(broken).abort(Aborted())


def misuse_resume(call: Suspended) -> None:
    with pytest.raises(RuntimeError, match="not suspended"):
        call.resume(b"")
    with pytest.raises(RuntimeError, match="not suspended"):
        call.abort(Aborted())


def test_call_that_was_not_run_cannot_go_on() -> None:
    misuse_resume(Suspended())


def test_call_that_ended_cannot_go_on() -> None:
    call = Suspended()
    call.run(bytes.upper, b"")
    misuse_resume(call)
    call = started()
    call.resume(b"")
    misuse_resume(call)


def test_aborted_call_cannot_go_on() -> None:
    call = started()
    call.abort(Aborted())
    misuse_resume(call)


def test_key_operation_of_a_handshake_outside_is_refused(
    pki: PKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = site(pki.site("site.test"))
    stream = _native.Stream(served.address, served.context, True)
    with pytest.raises(Exception, match="outside of a handshake") as caught:
        stream.handshake(Client().step())
    assert type(caught.value).__name__ == "NotSuspendable"


def test_handshake_cannot_be_entered_while_it_is_suspended(pki: PKI) -> None:
    served = site(pki.site("site.test"))
    stream = _native.Stream(served.address, served.context, True)
    call = Suspended()
    operation = call.run(stream.handshake, Client().step())
    assert operation.key_id in served.keys
    with pytest.raises(RuntimeError, match="suspended"):
        stream.handshake(b"")
    with pytest.raises(RuntimeError, match="suspended"):
        stream.shutdown()
    call.abort(Aborted())
    assert stream.shutdown(), "an alert: the handshake has failed"
