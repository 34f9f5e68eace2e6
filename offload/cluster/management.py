"""The one way in for acts of management: who may do it, who approved it, what is recorded of it.

An act that writes leaves two records in the audit log: one before anything is done, without which
nothing is, and one of what came of it. Reads are recorded where they are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_type_hints

from pydantic import BaseModel

from offload.audit.sink import AuditUnavailable
from offload.catalogue.base import CatalogueError, CatalogueUnavailable, Conflict
from offload.cluster.actor import Actor, Handler, Handlers
from offload.cluster.acts import Act
from offload.cluster.approval_gate import ApprovalGate
from offload.cluster.failures import (
    ApprovalNeeded,
    Invalid,
    ManagementError,
    NotAllowed,
    NotFound,
    Taken,
    Unavailable,
    WrongState,
)
from offload.cluster.node import Node
from offload.cluster.roles import allowed, roles_for
from offload.keys.algorithm import UnsupportedKey
from offload.keys.state import IllegalStep
from offload.observe import metrics
from offload.observe.log import get_logger
from offload.token.base import (
    KeyNotFound,
    LabelTaken,
    NotExtractable,
    SchemeNotAllowed,
    TokenError,
    WrappedKeyInvalid,
)

__all__ = [
    "Actor",
    "ApprovalNeeded",
    "Handler",
    "Handlers",
    "Invalid",
    "Management",
    "ManagementError",
    "NotAllowed",
    "NotFound",
    "Taken",
    "Unavailable",
    "WrongState",
]

ACT_SECONDS: Final = 120.0
"""Longer than a key needs to reach enough workers; shorter than a client's patience."""

_log = get_logger("management")


class Management:
    """Performs acts on one member; belongs to one event loop."""

    def __init__(
        self, node: Node, handlers: Iterable[Handlers], *, seconds: float = ACT_SECONDS
    ) -> None:
        """`handlers`: what each service can do; raises ValueError if two do the same act.

        seconds: how long an act may take.
        """
        self._node, self._seconds = node, seconds
        self._gate = ApprovalGate(node)
        self._handlers: dict[type[Act], Handler] = {}
        for each in handlers:
            for act, handler in each.items():
                if act in self._handlers:
                    raise ValueError(f"two services do {act.name}")
                self._handlers[act] = handler

    def answers(self) -> Mapping[type[Act], type[BaseModel]]:
        """What each act that is done here answers, as its handler is annotated."""
        return {act: get_type_hints(handler)["return"] for act, handler in self._handlers.items()}

    async def perform(self, actor: Actor, act: Act, *, approval: str | None = None) -> BaseModel:
        """Do the act and return its answer; `approval`: the id of one that officers have signed.

        Raises ManagementError; anything else is a fault of ours, and is recorded as one.
        """
        if not allowed(actor.role, type(act)):
            return await self._refuse(actor, act)
        if not act.writes:
            return await self._do(actor, act)
        # There must be room for what comes of it too.
        await self._audited(self._node.audit.check)
        await self._recorded(actor, act, "begun", approval=approval)
        outcome, detail = "interrupted", ""
        try:
            answer = await self._approved(actor, act, approval)
            outcome = "done"
        except ManagementError as error:
            outcome, detail = _outcome(error), str(error)
            raise
        except Exception as error:
            outcome, detail = "failed", type(error).__name__
            raise
        finally:
            # Who asked may have gone: the record is made all the same.
            await asyncio.shield(self._record_outcome(actor, act, outcome, approval, detail))
        return answer

    async def _approved(self, actor: Actor, act: Act, approval: str | None) -> BaseModel:
        if self._handlers.get(type(act)) is None:
            raise _not_done_here(act)
        try:
            spent = await self._gate.pass_through(actor, act, approval)
        except (CatalogueError, TimeoutError) as error:
            raise mapped(error) from error
        try:
            return await self._do(actor, act)
        except ManagementError as error:
            if spent:
                error.args = (f"{error}; approval {approval} is used up: ask for another",)
            raise

    async def _do(self, actor: Actor, act: Act) -> BaseModel:
        handler = self._handlers.get(type(act))
        if handler is None:
            raise _not_done_here(act)
        try:
            async with asyncio.timeout(self._seconds):
                return await handler(actor, act)
        except (CatalogueError, TokenError, TimeoutError, IllegalStep, UnsupportedKey) as error:
            raise mapped(error) from error

    async def _refuse(self, actor: Actor, act: Act) -> BaseModel:
        await self._record_outcome(actor, act, "not-allowed", None, "")
        raise NotAllowed(
            f"the role {actor.role} does not cover {act.name}: ask somebody who is "
            f"{roles_for(type(act))}"
        )

    async def _record_outcome(
        self, actor: Actor, act: Act, outcome: str, approval: str | None, detail: str
    ) -> None:
        """As `_recorded`, of what cannot be undone any more: a log that is broken by now is told of
        in the ordinary one, and stops the next act.
        """
        metrics.MANAGEMENT_ACTS.labels(act.name, outcome).inc()
        try:
            await self._recorded(actor, act, outcome, approval=approval, detail=detail)
        except Unavailable as error:
            _log.error(
                "outcome not in the audit log", act=act.name, outcome=outcome, why=str(error)
            )

    async def _recorded(self, actor: Actor, act: Act, outcome: str, **more: str | None) -> None:
        fields: dict[str, Any] = {
            "actor": actor.name,
            "role": str(actor.role),
            "via": actor.via,
            "act": act.name,
            "target": act.target,
            "digest": act.digest(),
            "outcome": outcome,
            **{name: value for name, value in more.items() if value},
        }
        await self._audited(self._node.audit.append, "management", fields)

    async def _audited(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            await self._node.in_thread(call, *arguments)
        except AuditUnavailable as error:
            raise Unavailable(f"nothing may be done that cannot be recorded: {error}") from error


def mapped(error: Exception) -> ManagementError:
    """What the failure of the catalogue, the token or a rule means to who asked for the act."""
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return meaning(str(error))
    if isinstance(error, Conflict):
        return Unavailable("somebody else changed the same at the same moment: try again")
    if isinstance(error, CatalogueUnavailable):
        return Unavailable(f"{error}; the act may have been done: look before you try again")
    if isinstance(error, TimeoutError):
        return Unavailable(
            "it took too long; the act may have been done: look before you try again"
        )
    return Unavailable(str(error))


_MEANINGS: Final[tuple[tuple[type[Exception], type[ManagementError]], ...]] = (
    (KeyNotFound, NotFound),
    (LabelTaken, Taken),
    (NotExtractable, WrongState),
    (IllegalStep, WrongState),
    (SchemeNotAllowed, Invalid),
    (WrappedKeyInvalid, Invalid),
    (UnsupportedKey, Invalid),
)


def _not_done_here(act: Act) -> ManagementError:
    return WrongState(f"this member does no {act.name}: ask another one, or update it")


def _outcome(error: ManagementError) -> str:
    for kind, outcome in _OUTCOMES:
        if isinstance(error, kind):
            return outcome
    return "refused"


_OUTCOMES: Final[tuple[tuple[type[ManagementError], str], ...]] = (
    (ApprovalNeeded, "approval-needed"),
    (NotAllowed, "not-allowed"),
    (Unavailable, "unavailable"),
)
