"""How a machine asks to become a member: with an invitation's secret, and nothing else to show."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from offload.admin.api import json_response
from offload.admin.openapi import Plain
from offload.admin.problem import (
    TOO_MANY,
    UNAUTHENTICATED,
    Problem,
    of_failure,
    of_validation,
)
from offload.admin.rate import Bucket
from offload.admin.reading import read_body, read_object
from offload.catalogue.base import CatalogueError
from offload.cluster.application import Application
from offload.cluster.enrolment import Enrolment
from offload.cluster.failures import ManagementError
from offload.cluster.joining import ENROLMENTS_PATH
from offload.cluster.management import mapped
from offload.cluster.views import EnrolmentView

# A newcomer asks once and then looks again every second or so until an officer has decided.
BURST: Final = 30.0
PER_SECOND: Final = 5.0

_ID: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}

PLAIN: Final = (
    Plain(
        "POST",
        ENROLMENTS_PATH,
        "Ask to become a member; the bearer token is the invitation's secret",
        EnrolmentView,
        body=Application,
        status=201,
        invitation=True,
    ),
    Plain(
        "GET",
        f"{ENROLMENTS_PATH}/{{id}}",
        "How it stands with the application",
        EnrolmentView,
        parameters=(_ID,),
        invitation=True,
    ),
)


class Enrolments:
    """Takes applications from strangers, so many a second and no more."""

    def __init__(
        self, enrolment: Enrolment, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._enrolment, self._monotonic = enrolment, monotonic
        self._bucket = Bucket(BURST, PER_SECOND, monotonic())

    def add_to(self, app: web.Application) -> None:
        """Serve them."""
        app.router.add_post(ENROLMENTS_PATH, self.ask)
        app.router.add_get(f"{ENROLMENTS_PATH}/{{id}}", self.collect, allow_head=False)

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """POST: the application as JSON."""
        secret = self._admitted(request)
        values = read_object(request, await read_body(request))
        try:
            application = Application.model_validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            raise of_validation(error) from None
        try:
            answer = await self._enrolment.ask(application, secret)
        except ManagementError as error:
            raise of_failure(error) from error
        except CatalogueError as error:
            raise of_failure(mapped(error)) from error
        return json_response(
            answer, status=201, headers={"Location": f"{ENROLMENTS_PATH}/{answer.id}"}
        )

    async def collect(self, request: web.Request) -> web.StreamResponse:
        """GET: how it stands."""
        secret = self._admitted(request)
        try:
            answer = await self._enrolment.collect(request.match_info["id"], secret)
        except ManagementError as error:
            raise of_failure(error) from error
        except CatalogueError as error:
            raise of_failure(mapped(error)) from error
        return json_response(answer)

    def _admitted(self, request: web.Request) -> str:
        """The secret; raises Problem."""
        wait = self._bucket.take(self._monotonic())
        if wait:
            headers = {"Retry-After": str(math.ceil(wait))}
            raise Problem(TOO_MANY, "too many ask to join at this moment", headers=headers)
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            challenge = {"WWW-Authenticate": 'Bearer realm="invitation"'}
            raise Problem(UNAUTHENTICATED, "the request brings no invitation", headers=challenge)
        return secret.strip()
