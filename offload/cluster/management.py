"""The one way in for acts of management: who may do it, who approved it, what is recorded of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from offload.cluster.acts import Act
from offload.keys.role import Role


class ManagementError(Exception):
    """The act was not done; the text says why and what to do. Nothing has changed."""


class NotAllowed(ManagementError):
    """The actor's role does not cover the act."""


class ApprovalNeeded(ManagementError):
    """Officers must approve first; `approval` identifies what they sign."""

    def __init__(self, text: str, approval: str) -> None:
        super().__init__(text)
        self.approval = approval


class NotFound(ManagementError):
    """There is no such key, member, user or approval."""


class WrongState(ManagementError):
    """What the act is done to does not allow it now."""


class Taken(ManagementError):
    """The name is in use."""


class Unavailable(ManagementError):
    """The catalogue, the audit log or too many members are out of reach: try again."""


class Actor(NamedTuple):
    """Who acts, as authenticated; `via` is 'certificate', 'token' or 'local'."""

    name: str
    role: Role
    via: str = "certificate"


Handler = Callable[[Actor, Any], Awaitable[BaseModel]]
Handlers = Mapping[type[Act], Handler]
"""What each service contributes: it does the act, which has been allowed and will be recorded."""
