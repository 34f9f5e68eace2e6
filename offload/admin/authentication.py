"""Who a request is from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web

from offload.admin.problem import TOO_MANY, UNAUTHENTICATED, Problem
from offload.admin.rate import Bucket
from offload.admin.tls import client_fingerprint
from offload.catalogue.records import UserRecord
from offload.cluster.actor import Actor
from offload.cluster.bearer import Bearers
from offload.cluster.view import View
from offload.keys.role import Role

BURST: Final = 100.0
PER_SECOND: Final = 5.0

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="offload"'}


class Authenticator(Protocol):
    """Finds out who asks."""

    async def actor(self, request: web.Request) -> Actor:
        """Who the request is from; raises Problem."""


class NetworkAuthenticator:
    """By bearer token, else by the client certificate of TLS. What somebody is stands in the
    catalogue at that moment: who was removed is nobody at once.
    """

    def __init__(
        self, view: View, bearers: Bearers, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._view, self._bearers = view, bearers
        self._monotonic = monotonic
        # What costs us something and has nothing to show: it may come so often and no more.
        self._futile = Bucket(BURST, PER_SECOND, monotonic())

    async def actor(self, request: web.Request) -> Actor:
        """Raises Problem and CatalogueError."""
        authorization = request.headers.getall("Authorization", [])
        if authorization:
            return await self._by_token(authorization)
        fingerprint = client_fingerprint(request)
        if fingerprint is None:
            raise _nobody("the request brings neither a client certificate nor a token")
        return self._by_certificate(fingerprint)

    async def _by_token(self, authorization: list[str]) -> Actor:
        scheme, _, token = authorization[0].partition(" ")
        if len(authorization) > 1 or scheme.lower() != "bearer" or not token:
            raise _nobody("the header Authorization is not 'Bearer TOKEN'")
        if not self._bearers.seen(token.strip()):
            self._hold_back()
        user = await self._bearers.user(token.strip())
        if user is None:
            raise _nobody("the token is over, or it never was one")
        return _actor(user, "token")

    def _by_certificate(self, fingerprint: str) -> Actor:
        for user in self._view.users.values():
            if user.fingerprint == fingerprint:
                return _actor(user, "certificate")
        for appliance in self._view.appliances.values():
            if appliance.fingerprint == fingerprint:
                # All that it asks for is refused, and recorded.
                self._hold_back()
                return Actor(appliance.name, Role.APPLIANCE)
        raise _nobody("the certificate is not that of a user of this cluster")

    def _hold_back(self) -> None:
        wait = self._futile.take(self._monotonic())
        if wait:
            headers = {"Retry-After": str(math.ceil(wait))}
            raise Problem(TOO_MANY, "too many ask for what is refused", headers=headers)


class LocalAuthenticator:
    """Everybody who can reach the server is `actor`: for a socket that only its owner can reach."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    async def actor(self, _request: web.Request) -> Actor:
        """Always the same."""
        return self._actor


def _actor(user: UserRecord, via: str) -> Actor:
    return Actor(user.name, Role(user.role), via)


def _nobody(why: str) -> Problem:
    return Problem(UNAUTHENTICATED, why, headers=_CHALLENGE)
