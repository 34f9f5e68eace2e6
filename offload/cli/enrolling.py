"""Asking a member to let us join, over TLS that its cluster's authority vouches for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from offload.cli.failure import Failure
from offload.cluster.application import Application
from offload.cluster.failures import Invalid
from offload.cluster.invitation import Invitation, Reachable
from offload.cluster.joining import ENROLMENTS_PATH, accepted, authorization
from offload.cluster.views import EnrolmentView

Say = Callable[[str], None]

_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)
_NOT_FOUND = 404
_BUSY = (429, 503)


class _Unreachable(Exception):
    """That member does not answer now."""


async def enrol(
    invitation: Invitation,
    application: Application,
    public: ec.EllipticCurvePublicKey,
    *,
    say: Say,
    pause: float = 2.0,
) -> bytes:
    """Ask, wait for an officer, and return our certificate (PEM).

    say: is told of news once; pause: seconds between looks. Raises Failure if we are refused.
    """
    async with aiohttp.ClientSession(
        timeout=_TIMEOUT, headers={"Authorization": authorization(invitation.secret)}
    ) as session:
        asking = _Asking(session, invitation, application, say)
        while True:
            answer = await asking.once()
            if answer is not None:
                try:
                    certificate = accepted(invitation, answer, public)
                except Invalid as error:
                    raise Failure(str(error), "do not use this invitation any more") from error
                if certificate is not None:
                    return certificate
                asking.tell("waiting for an officer to approve")
            await asyncio.sleep(pause)


class _Asking:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        invitation: Invitation,
        application: Application,
        say: Say,
    ) -> None:
        self._session, self._invitation, self._application = session, invitation, application
        self._say, self._said = say, ""
        self._members = list(invitation.members)
        self._tls = _trusting(invitation.authority)
        self._asked = False

    def tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    async def once(self) -> EnrolmentView | None:
        """How it stands; None if no member answers now. Raises Failure if we are refused."""
        reasons = []
        for member in tuple(self._members):
            try:
                return await self._look(member)
            except _Unreachable as error:
                reasons.append(f"{member.name} at {member.api}: {error}")
                # The next one is asked first from now on.
                self._members.append(self._members.pop(0))
        self.tell(f"no member can be asked, trying again: {'; '.join(reasons)}")
        return None

    async def _look(self, member: Reachable) -> EnrolmentView:
        status, values = await self._call(
            member, "GET", f"{ENROLMENTS_PATH}/{self._application.fingerprint}"
        )
        if status == _NOT_FOUND and not self._asked:
            body = self._application.model_dump(mode="json")
            status, values = await self._call(member, "POST", ENROLMENTS_PATH, body)
        try:
            answer = EnrolmentView.model_validate(values)
        except ValidationError:
            raise _refusal(member, status, values) from None
        self._asked = True
        return answer

    async def _call(
        self, member: Reachable, method: str, path: str, body: Any = None
    ) -> tuple[int, Any]:
        try:
            async with self._session.request(
                method,
                f"https://{member.api}{path}",
                json=body,
                ssl=self._tls,
                server_hostname=member.name,
                allow_redirects=False,
            ) as response:
                if response.status in _BUSY:
                    raise _Unreachable(f"busy ({response.status})")
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _Unreachable(str(error) or type(error).__name__) from error


def _trusting(authority: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    return context


def _refusal(member: Reachable, status: int, values: Any) -> Failure:
    problem = values if isinstance(values, dict) else {}
    detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
    text, _, hint = detail.partition(": ")
    return Failure(f"{member.name} refuses: {text}", hint)
