"""The seam between the front-end and the pool."""

from typing import Protocol

from offload.pool.operation import SigningOperation


class Signer(Protocol):
    """What a connection needs of the pool: `Pool` is the real one, `FakePool` a scripted one."""

    def submit(self, operation: SigningOperation) -> None:
        """Ask for the signature; the operation's `done` is called later, never in this call.

        Raises AlreadyAsked or AlreadyCancelled, and nothing else.
        """

    def report_bad_signature(self, operation: SigningOperation) -> None:
        """The signature that `operation.worker` gave does not verify."""
