"""Who performs acts for a command: a member over REST, or one in this process."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from pydantic import BaseModel

from offload.cluster.acts import Act

V = TypeVar("V", bound=BaseModel)


class Transport(NamedTuple):
    """A member, and the RSA key (SubjectPublicKeyInfo, DER) that keys are enclosed to for it."""

    member: str
    rsa: bytes


class Session(Protocol):
    """Open for as long as a command runs."""

    async def perform(self, act: Act, view: type[V], *, approval: str | None = None) -> V:
        """Have the act done and return its answer.

        Raises NeedsApproval if officers must sign first, and Failure.
        """

    async def transport(self) -> Transport:
        """Of the member that performs the next act, and no other; raises Failure."""
