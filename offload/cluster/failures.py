"""Why an act of management was not done."""


class ManagementError(Exception):
    """The act was not done; the text says why and what to do. Nothing has changed."""


class NotAllowed(ManagementError):
    """The actor's role does not cover the act."""


class ApprovalNeeded(ManagementError):
    """Officers must approve first; `approval` identifies what they sign."""

    def __init__(self, text: str, approval: str) -> None:
        super().__init__(text)
        self.approval = approval


class Invalid(ManagementError):
    """The act asks for something that cannot be: a request that does not verify, a bad name."""


class NotFound(ManagementError):
    """There is no such key, member, user or approval."""


class WrongState(ManagementError):
    """What the act is done to does not allow it now."""


class Taken(ManagementError):
    """The name is in use."""


class Unavailable(ManagementError):
    """The catalogue, the audit log or too many members are out of reach: try again.

    The text says so where the act may have been done nevertheless.
    """
