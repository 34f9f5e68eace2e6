"""One signature, from the question to the answer.

The law: an operation is asked once and answered once, and whoever asked hears of it once, unless
he cancelled, which he may do at any time and as often as he likes.

| state     | ask              | succeed, fail     | cancel    |
|-----------|------------------|-------------------|-----------|
| NEW       | ASKED            | NotAsked          | CANCELLED |
| ASKED     | AlreadyAsked     | SUCCEEDED, FAILED | CANCELLED |
| SUCCEEDED | AlreadyAsked     | AlreadyAnswered   | no effect |
| FAILED    | AlreadyAsked     | AlreadyAnswered   | no effect |
| CANCELLED | AlreadyCancelled | no effect         | no effect |

An answer to a cancelled operation is nobody's mistake: it was under way already.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from offload.keys.algorithm import Algorithm
from offload.pool.errors import (
    AlreadyAnswered,
    AlreadyAsked,
    AlreadyCancelled,
    NotAnswered,
    NotAsked,
    SigningError,
)

if TYPE_CHECKING:
    from offload.pool.hedge import Hedge
    from offload.pool.link import Link


class State(Enum):
    """Where an operation stands in its life."""

    NEW = "new"
    ASKED = "asked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


# Looking up a member of an enumeration costs more than the comparison that it is for.
_NEW, _ASKED, _CANCELLED = State.NEW, State.ASKED, State.CANCELLED
_SUCCEEDED, _FAILED = State.SUCCEEDED, State.FAILED

Done = Callable[["SigningOperation"], None]


def _nobody(operation: SigningOperation) -> None:
    """Stands where `done` stood, so that an ended operation keeps its asker alive no longer."""


class SigningOperation:
    """A request for one signature of a TLS server handshake.

    ski: the key's subject key identifier, 20 bytes. scheme: SignatureScheme codepoint.
    version: 0x0303 or 0x0304; payload: what TLS_SIGN carries for that version.
    client_address: packed, 4 or 16 bytes, or empty. client_random: 32 bytes, or empty where the
    payload has it. done: called once with the operation when it
    has a `signature` or an `error`, never from within `Pool.submit`.
    exclude: names of workers that must not be asked.

    After the answer: `signature` or `error` is set, `worker` names who answered ("" if nobody
    did). `started` and `deadline` are monotonic seconds, set when it is asked.
    """

    __slots__ = (
        "_done",
        "algorithm",
        "attempts",
        "client_address",
        "client_random",
        "cost",
        "deadline",
        "error",
        "exclude",
        "hedge",
        "id",
        "link",
        "payload",
        "pending",
        "refused",
        "scheme",
        "sent",
        "server_name",
        "setback",
        "signature",
        "ski",
        "started",
        "state",
        "tried",
        "version",
        "worker",
    )

    # The pool's own book-keeping: `id` on `link`, when `sent`, at what `cost`, how many
    # `attempts`, whom it `tried` and who `refused` (both with `exclude`), the last `setback`;
    # `pending` from the asking until the pool has no more to do with it, which for a cancelled
    # operation is when its answer comes or would have been due. A copy has its `hedge`.
    id: int
    link: Link | None
    sent: float
    cost: float
    signature: bytes | None
    error: SigningError | None
    setback: SigningError | None
    hedge: Hedge | None

    def __init__(
        self,
        ski: bytes,
        algorithm: Algorithm,
        scheme: int,
        version: int,
        payload: bytes,
        server_name: str,
        client_address: bytes,
        done: Done,
        exclude: frozenset[str] = frozenset(),
        client_random: bytes = b"",
    ) -> None:
        self.ski = ski
        self.algorithm = algorithm
        self.scheme = scheme
        self.version = version
        self.payload = payload
        self.server_name = server_name
        self.client_address = client_address
        self.client_random = client_random
        self._done = done
        self.exclude = self.tried = self.refused = exclude
        self.state = _NEW
        self.signature = self.error = self.setback = self.link = self.hedge = None
        self.worker = ""
        self.pending = False
        self.attempts = 0

    def ask(self, now: float, deadline: float) -> None:
        """Begin; `deadline` is a time like `now`. Raises AlreadyAsked or AlreadyCancelled."""
        if self.state is not _NEW:
            if self.state is _CANCELLED:
                raise AlreadyCancelled("operation was cancelled before it was submitted")
            raise AlreadyAsked("operation was submitted before; make a new one")
        self.state = _ASKED
        self.pending = True
        self.started = now
        self.deadline = deadline

    def succeed(self, signature: bytes) -> None:
        """Answer with the signature. Raises NotAsked or AlreadyAnswered."""
        if self.state is not _ASKED:
            self._refuse_answer()
            return
        self.state = _SUCCEEDED
        self.signature = signature
        done, self._done = self._done, _nobody
        done(self)

    def fail(self, error: SigningError) -> None:
        """Answer that there will be no signature. Raises NotAsked or AlreadyAnswered."""
        if self.state is not _ASKED:
            self._refuse_answer()
            return
        self.state = _FAILED
        self.error = error
        done, self._done = self._done, _nobody
        done(self)

    def cancel(self) -> None:
        """Want no answer any more; after an answer, or a second time, without effect."""
        if self.state is _ASKED or self.state is _NEW:
            self.state = _CANCELLED
            self._done = _nobody

    def elsewhere(self, done: Done) -> SigningOperation:
        """A new operation for the same signature, not to be asked of who gave this one.

        Raises NotAnswered when there is no signature to be dissatisfied with.
        """
        if self.state is not _SUCCEEDED:
            raise NotAnswered("operation has no signature that could be wrong")
        return self._like(done, self.exclude | {self.worker})

    def copy(self, done: Done) -> SigningOperation:
        """A new operation for the same signature, for a second worker."""
        copy = self._like(done, self.exclude)
        copy.tried, copy.refused = self.tried, self.refused
        return copy

    def _like(self, done: Done, exclude: frozenset[str]) -> SigningOperation:
        return SigningOperation(
            self.ski,
            self.algorithm,
            self.scheme,
            self.version,
            self.payload,
            self.server_name,
            self.client_address,
            done,
            exclude,
            self.client_random,
        )

    def _refuse_answer(self) -> None:
        if self.state is _NEW:
            raise NotAsked("operation was answered before it was submitted")
        if self.state is not _CANCELLED:
            raise AlreadyAnswered("operation was answered before")

    def __repr__(self) -> str:
        return (
            f"<SigningOperation {self.algorithm} key {self.ski.hex()}"
            f" {self.state.value} worker {self.worker or 'none'}>"
        )
