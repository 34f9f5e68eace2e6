"""Errors as problem+json."""

import json

import pytest
from aiohttp import web

from offload.admin.problem import (
    INVALID,
    MEDIA_TYPE,
    FieldProblem,
    Problem,
    of_failure,
    of_http,
)
from offload.cluster.failures import (
    Invalid,
    ManagementError,
    NotAllowed,
    NotFound,
    Taken,
    Unavailable,
    WrongState,
)


def document(problem: Problem) -> dict[str, object]:
    response = problem.response()
    assert response.content_type == MEDIA_TYPE
    assert isinstance(response.body, bytes)
    found = json.loads(response.body)
    assert found["status"] == response.status
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (NotAllowed("no"), 403),
        (NotFound("no"), 404),
        (Taken("no"), 409),
        (WrongState("no"), 409),
        (Invalid("no"), 422),
        (Unavailable("no"), 503),
        (ManagementError("no"), 409),
    ],
)
def test_each_failure_has_its_status(failure: ManagementError, status: int) -> None:
    found = document(of_failure(failure))
    assert found["status"] == status
    assert found["detail"] == "no"
    assert str(found["type"]).startswith("urn:offload:problem:")
    assert found["title"]
    assert found["remedy"]


def test_what_may_be_tried_again_says_when() -> None:
    assert of_failure(Unavailable("later")).response().headers["Retry-After"] == "1"
    assert "Retry-After" not in of_failure(Taken("never")).response().headers


def test_wrong_fields_are_named() -> None:
    error = FieldProblem(field="sites.0", problem="is empty")
    found = document(Problem(INVALID, "sites.0: is empty", errors=(error,)))
    assert found["errors"] == [{"field": "sites.0", "problem": "is empty"}]


def test_what_the_server_library_refuses_is_a_problem_too() -> None:
    found = of_http(web.HTTPMethodNotAllowed("PATCH", ["GET", "POST"]))
    assert found.response().status == 405
    assert found.response().headers["Allow"] == "GET,POST"
    assert document(of_http(web.HTTPNotFound()))["status"] == 404
    assert document(of_http(web.HTTPRequestEntityTooLarge(1, 2)))["status"] == 413
    assert document(of_http(web.HTTPExpectationFailed()))["status"] == 400
