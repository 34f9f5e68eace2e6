"""The description has every operation, with what it takes and answers."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from offload.admin.api import ApprovalPending
from offload.admin.openapi import Plain, document
from offload.admin.routes import ROUTES
from offload.cluster.roles import MATRIX
from offload.cluster.views import Done, KeyPage


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    answers: dict[Any, type[BaseModel]] = dict.fromkeys(MATRIX, Done)
    answers[ROUTES[0].act] = KeyPage
    plain = [
        Plain("GET", "/v1/plain", "Plain", None, secured=False),
        Plain("POST", "/v1/asked", "Asked", Done, body=Done, status=201, invitation=True),
    ]
    made = document(ROUTES, answers, plain, [ApprovalPending])
    parsed = json.loads(json.dumps(made))
    assert isinstance(parsed, dict)
    return parsed


def operations(described: dict[str, Any]) -> dict[str, Any]:
    return {
        operation["operationId"]: operation
        for path in described["paths"].values()
        for operation in path.values()
    }


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        mine = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return mine.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_act_is_described(described: dict[str, Any]) -> None:
    assert {act.name for act in MATRIX} <= set(operations(described))


def test_everything_named_is_there(described: dict[str, Any]) -> None:
    names = {name.rpartition("/")[2] for name in references(described)}
    assert names <= set(described["components"]["schemas"])
    assert {"KeyPage", "KeyView", "Problem", "ApprovalPending", "CreateKey"} <= names | {"KeyPage"}


def test_fields_of_the_path_are_not_in_the_body(described: dict[str, Any]) -> None:
    body = described["components"]["schemas"]["DestroyKey"]
    assert set(body["properties"]) == {"wait_seconds"}
    assert "required" not in body
    operation = described["paths"]["/v1/keys/{key}/destroy"]["post"]
    assert operation["requestBody"]["required"] is False
    assert [one["name"] for one in operation["parameters"] if one["in"] == "path"] == ["key"]


def test_fields_of_a_get_are_in_the_query_and_never_null(described: dict[str, Any]) -> None:
    parameters = described["paths"]["/v1/keys"]["get"]["parameters"]
    query = {one["name"]: one["schema"] for one in parameters if one["in"] == "query"}
    assert query["limit"]["maximum"] == 1000
    assert query["label"]["type"] == "string"
    assert query["state"] == {"$ref": "#/components/schemas/State"}


def test_writes_take_keys_and_may_need_approval(described: dict[str, Any]) -> None:
    for act in MATRIX:
        operation = operations(described)[act.name]
        headers = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        assert headers == ({"Idempotency-Key", "Offload-Approval"} if act.writes else set())
        assert ("202" in operation["responses"]) is act.writes


def test_who_must_show_what_is_described(described: dict[str, Any]) -> None:
    found = operations(described)
    assert found["key.list"]["security"] == [{"certificate": []}, {"token": []}]
    assert found["get.v1.plain"]["security"] == []
    assert found["post.v1.asked"]["security"] == [{"invitation": []}]
    assert set(described["components"]["securitySchemes"]) == {
        "certificate",
        "token",
        "invitation",
    }


def test_errors_are_described(described: dict[str, Any]) -> None:
    for operation in operations(described).values():
        for status in ("401", "403", "422", "503", "default"):
            assert "application/problem+json" in operation["responses"][status]["content"]
