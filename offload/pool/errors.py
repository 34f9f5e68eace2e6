"""What can go wrong with a signature (`SigningError`) and with its asking (`OperationMisuse`)."""

from typing import ClassVar

from offload.wire.error import ErrorCode


class SigningError(Exception):
    """No signature will come. `outcome` is the error's class as metrics and logs name it."""

    outcome: ClassVar[str] = "error"


class NoWorkerAvailable(SigningError):
    """No worker is up, and none can be waited for."""

    outcome = "no_worker"


class NoCapacity(SigningError):
    """The workers have so much to do that none would answer in time: not even asked."""

    outcome = "no_capacity"


class DeadlineExceeded(SigningError):
    """No worker answered in time."""

    outcome = "deadline"


class Refused(SigningError):
    """The last worker that could be asked answered with an error.

    worker: its name; code: what it said, an ErrorCode or a number that is none.
    """

    outcome = "refused"

    def __init__(self, worker: str, code: int) -> None:
        self.worker = worker
        self.code = code
        super().__init__(f"worker {worker} refused to sign: {_meaning(code)}")


class LinkLost(SigningError):
    """The link broke while the answer was under way, and no other worker is left to ask."""

    outcome = "link_lost"

    def __init__(self, worker: str, reason: str) -> None:
        self.worker = worker
        self.reason = reason
        super().__init__(f"link to worker {worker} lost: {reason}; see that worker's log")


class PoolClosed(SigningError):
    """The pool was closed before an answer came."""

    outcome = "closed"


class OperationMisuse(Exception):
    """A defect of the program: an operation was used against its law (see `operation`)."""


class AlreadyAsked(OperationMisuse):
    """An operation was submitted twice."""


class NotAsked(OperationMisuse):
    """An operation was answered before it was submitted."""


class AlreadyAnswered(OperationMisuse):
    """An operation was answered twice."""


class AlreadyCancelled(OperationMisuse):
    """An operation was submitted after it was cancelled."""


class NotAnswered(OperationMisuse):
    """The signature of an operation was rejected before there was one."""


_REMEDIES = {
    ErrorCode.KEY_NOT_FOUND: "no such key; add the key to the worker's token and grant it",
}


def _meaning(code: int) -> str:
    try:
        known = ErrorCode(code)
    except ValueError:
        return f"unknown error code 0x{code:02x}; see that worker's log"
    remedy = _REMEDIES.get(known)
    return remedy or f"{known.name.lower().replace('_', ' ')}; see that worker's log"
