"""A request read as the act that it asks for: bounded, and strict in its types."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, Final, NoReturn

from aiohttp import web
from pydantic import ValidationError

from offload.admin.problem import (
    INVALID,
    MALFORMED,
    MEDIA,
    TIMEOUT,
    FieldProblem,
    Problem,
    of_validation,
)
from offload.admin.route import Route
from offload.cluster.acts import Act

MAX_BODY: Final = 256 * 1024
"""Bytes; a certificate chain has some thousands."""
BODY_SECONDS: Final = 10.0
_EXACT: Final = 2**53


async def read_body(request: web.Request) -> bytes:
    """The whole body; raises Problem, and HTTPRequestEntityTooLarge past MAX_BODY."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Problem(TIMEOUT, f"no whole body came in {BODY_SECONDS:g} seconds") from None


def read_act(route: Route, request: web.Request, body: bytes) -> Act:
    """The act; raises Problem."""
    in_path = {name: request.match_info[name] for name in route.variables}
    try:
        if route.method in ("POST", "PUT"):
            values = read_object(request, body)
            _refuse_fields(values, route.variables)
            text = json.dumps({**values, **in_path})
            return route.act.model_validate_json(text, strict=True)
        values = _read_query(request)
        _refuse_fields(values, route.variables)
        return route.act.model_validate_strings({**values, **in_path}, strict=True)
    except ValidationError as error:
        raise of_validation(error) from None


def read_object(request: web.Request, body: bytes) -> dict[str, Any]:
    """The JSON object of a body, {} of none; raises Problem."""
    if not body:
        return {}
    if request.content_type != "application/json":
        raise Problem(MEDIA, f"a body of type {request.content_type!r} is not read")
    try:
        values = json.loads(
            body,
            parse_float=_number,
            parse_constant=_no_number,
            object_pairs_hook=_no_repeats,
        )
    except (ValueError, RecursionError):
        raise Problem(MALFORMED, "the body is not JSON in UTF-8") from None
    if not isinstance(values, dict):
        raise Problem(INVALID, "the body is not a JSON object")
    return values


def _read_query(request: web.Request) -> dict[str, Any]:
    query = request.query
    if len(set(query)) < len(query):
        raise Problem(INVALID, "a field stands twice in the query")
    return dict(query)


def _refuse_fields(values: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if name in values:
            error = FieldProblem(field=name, problem="is in the path")
            raise Problem(INVALID, f"{name} is in the path: leave it out", errors=(error,))


def _number(text: str) -> float:
    # JSON has one kind of number: 5.0 is as good an integer as 5.
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Which of two would count depends on who reads: an officer must not approve the other one.
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name stands twice")
    return values
