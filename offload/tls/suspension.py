"""The greenlets in which handshakes run.

OpenSSL asks for the private-key operation deep inside SSL_do_handshake and cannot be told "later".
So the call runs in a greenlet: the provider's hook switches to the greenlet's parent with a
`KeyOperation`, which is what `Suspended.run` returns, and the C stack stays as it is until somebody
switches back.

Greenlets are kept and used again, because a new one costs CPython a fresh frame stack (two system
calls). A suspended greenlet is always resumed or thrown into, never dropped.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from offload.provider import _native

_POOL_LIMIT = 256


class KeyOperation(NamedTuple):
    """What OpenSSL's provider was asked to sign.

    key_id: the subject key identifier in the key reference, 20 bytes.
    digest: OpenSSL's name of the digest, "" for schemes that hash by themselves.
    padding: RSA padding as OpenSSL numbers it (1 PKCS#1 v1.5, 6 PSS), 0 for other keys.
    content: all that is to be signed, before any hash.
    """

    key_id: bytes
    digest: str
    padding: int
    content: bytes


class Aborted(Exception):
    """Thrown into a suspended handshake that is to end without a signature."""


class NotSuspendable(Exception):
    """A private-key operation was asked for outside of `Suspended.run`."""


_idle: list[greenlet] = []


class Suspended:
    """One call that may be suspended, once or more, by a private-key operation."""

    __slots__ = ("_greenlet",)

    def __init__(self) -> None:
        self._greenlet: greenlet | None = None

    def run(self, function: Callable[[Any], Any], argument: bytes | memoryview) -> Any:
        """Call `function(argument)`; returns its result, or a KeyOperation if it was suspended by
        one.
        """
        runner = _idle.pop() if _idle else _new_runner()
        return self._after(runner, runner.switch(function, argument))

    def resume(self, signature: bytes) -> Any:
        """Go on with the signature; returns as `run` does."""
        runner = self._held()
        return self._after(runner, runner.switch(signature))

    def abort(self, error: BaseException) -> None:
        """Raise `error` where the call waits. Whatever that makes of it ends here."""
        runner = self._held()
        try:
            runner.throw(error)
        except type(error):
            return

    def _held(self) -> greenlet:
        runner, self._greenlet = self._greenlet, None
        if runner is None:
            raise RuntimeError("the call is not suspended")
        return runner

    def _after(self, runner: greenlet, result: Any) -> Any:
        if type(result) is KeyOperation:
            self._greenlet = runner
        elif len(_idle) < _POOL_LIMIT:
            _idle.append(runner)
        else:
            runner.throw()
        return result


def _new_runner() -> greenlet:
    runner = greenlet(_run)
    runner.switch()
    return runner


def _run() -> None:
    """A greenlet's life: call what it is handed, for ever. An exception ends it and goes to the
    parent.
    """
    parent = getcurrent().parent
    assert parent is not None
    result = None
    while True:
        function, argument = parent.switch(result)
        result = None
        result = function(argument)
        del function, argument  # of a connection that may be gone before this greenlet is needed


def _suspend(key_id: bytes, digest: str, padding: int, content: bytes) -> Any:
    parent = getcurrent().parent
    if parent is None:
        raise NotSuspendable("a private-key operation was asked for outside of a handshake")
    return parent.switch(KeyOperation(key_id, digest, padding, content))


_native.set_sign(_suspend)
