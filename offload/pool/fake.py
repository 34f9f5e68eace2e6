"""A scripted pool for the front-end's tests: no links, no workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from offload.pool.errors import SigningError
from offload.pool.operation import SigningOperation

DEADLINE_SECONDS: Final = 5.0

# The signature, the failure, or None to hold the operation until it is released.
Script = Callable[[SigningOperation], bytes | SigningError | None]


def hold(operation: SigningOperation) -> None:
    """A script that holds every operation."""


class FakePool:
    """A `Signer` that answers as `script` says, in a later turn of the loop, as worker `name`.

    `script` may be changed at any time. `submitted` has every operation in the order of
    submission, `held` those not answered yet, `bad` those reported for a wrong signature.
    """

    def __init__(
        self, script: Script, *, loop: asyncio.AbstractEventLoop, name: str = "fake"
    ) -> None:
        self.script = script
        self.name = name
        self.submitted: list[SigningOperation] = []
        self.held: list[SigningOperation] = []
        self.bad: list[SigningOperation] = []
        self._loop = loop

    def submit(self, operation: SigningOperation) -> None:
        """Ask for the signature. Raises AlreadyAsked or AlreadyCancelled."""
        now = time.monotonic()
        operation.ask(now, now + DEADLINE_SECONDS)
        self.submitted.append(operation)
        self._loop.call_soon(self._answer, operation, self.script)

    def report_bad_signature(self, operation: SigningOperation) -> None:
        """Remember the report."""
        self.bad.append(operation)

    def release(self, script: Script) -> None:
        """Answer all held operations at once, as `script` says."""
        held, self.held = self.held, []
        for operation in held:
            self._answer(operation, script)

    def _answer(self, operation: SigningOperation, script: Script) -> None:
        answer = script(operation)
        if answer is None:
            self.held.append(operation)
            return
        operation.pending = False
        operation.worker = self.name
        if isinstance(answer, SigningError):
            operation.fail(answer)
        else:
            operation.succeed(answer)
