"""Errors as clients get them: problem+json (RFC 9457), which says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offload.cluster.failures import (
    Invalid,
    ManagementError,
    NotAllowed,
    NotFound,
    Taken,
    Unavailable,
    WrongState,
)

MEDIA_TYPE: Final = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one field of a request; `field` is dotted, '' for the whole."""

    field: str
    problem: str


class ProblemDocument(BaseModel):
    """RFC 9457, 3.1. remedy: what to do about it."""

    model_config = ConfigDict(title="Problem")
    type: str = Field(description="urn:offload:problem:KIND")
    title: str
    status: int
    detail: str
    remedy: str
    errors: tuple[FieldProblem, ...] = ()


class Kind(NamedTuple):
    """A kind of problem: what does not change from one to the next."""

    slug: str
    title: str
    status: int
    remedy: str


UNAUTHENTICATED: Final = Kind(
    "unauthenticated",
    "Who are you?",
    401,
    "authenticate with a client certificate of the cluster, or with a bearer token",
)
NOT_ALLOWED: Final = Kind("not-allowed", "Not allowed", 403, "ask somebody whose role covers it")
NOT_FOUND: Final = Kind("not-found", "Not found", 404, "list what there is")
METHOD: Final = Kind("method", "Method not allowed", 405, "see the header Allow")
TIMEOUT: Final = Kind("timeout", "The request came too slowly", 408, "send it again")
TAKEN: Final = Kind("taken", "The name is in use", 409, "take another name")
WRONG_STATE: Final = Kind("wrong-state", "Not in this state", 409, "see what state it is in")
IN_PROGRESS: Final = Kind(
    "in-progress", "The same request is being done", 409, "repeat it after the time of Retry-After"
)
ANSWER_GONE: Final = Kind(
    "answer-gone",
    "Done before, and its answer is not kept",
    409,
    "see what came of it; to do it once more, take another Idempotency-Key",
)
TOO_LARGE: Final = Kind("too-large", "The request is too large", 413, "send less")
MEDIA: Final = Kind("media-type", "Not JSON", 415, "send application/json")
MALFORMED: Final = Kind("malformed", "The request cannot be read", 400, "see the API's description")
INVALID: Final = Kind("invalid", "The request asks for what cannot be", 422, "mend what is named")
REUSED: Final = Kind(
    "idempotency-key-reused",
    "The Idempotency-Key was used for another request",
    422,
    "take another key for another request",
)
TOO_MANY: Final = Kind("too-many", "Too many requests", 429, "wait for the time of Retry-After")
INTERNAL: Final = Kind(
    "internal", "A fault of the server", 500, "see the member's log, and report it"
)
UNAVAILABLE: Final = Kind(
    "unavailable", "Not possible now", 503, "repeat it after the time of Retry-After"
)

_FAILURES: Final[tuple[tuple[type[ManagementError], Kind], ...]] = (
    (NotAllowed, NOT_ALLOWED),
    (NotFound, NOT_FOUND),
    (Taken, TAKEN),
    (Invalid, INVALID),
    (Unavailable, UNAVAILABLE),
    (WrongState, WRONG_STATE),
    (ManagementError, WRONG_STATE),
)
_STATUSES: Final = {
    kind.status: kind
    for kind in (MALFORMED, NOT_ALLOWED, NOT_FOUND, METHOD, TIMEOUT, TOO_LARGE, MEDIA)
}
RETRY_SECONDS: Final = 1


class Problem(Exception):
    """An error to answer with."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.errors = kind, errors
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The answer."""
        kind = self.kind
        document = ProblemDocument(
            type=f"urn:offload:problem:{kind.slug}",
            title=kind.title,
            status=kind.status,
            detail=str(self),
            remedy=kind.remedy,
            errors=self.errors,
        )
        return web.Response(
            status=kind.status,
            body=document.model_dump_json(exclude_defaults=True).encode(),
            content_type=MEDIA_TYPE,
            headers=self.headers,
        )


def of_failure(error: ManagementError) -> Problem:
    """The problem that a refused act is."""
    kind = next(kind for type_, kind in _FAILURES if isinstance(error, type_))
    retry = {"Retry-After": str(RETRY_SECONDS)} if kind is UNAVAILABLE else {}
    return Problem(kind, str(error), headers=retry)


def of_http(error: web.HTTPException) -> Problem:
    """The problem that aiohttp found with a request."""
    kind = _STATUSES.get(error.status, MALFORMED)
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return Problem(kind, (error.reason or kind.title).lower(), headers=headers)


def of_validation(error: ValidationError) -> Problem:
    """The problem of a request that is no such act; what was sent is not repeated."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = tuple(
        FieldProblem(field=".".join(map(str, one["loc"])), problem=_lower(one["msg"]))
        for one in found
    )
    named = "; ".join(f"{one.field or 'the request'}: {one.problem}" for one in errors[:5])
    return Problem(INVALID, named, errors=errors)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
