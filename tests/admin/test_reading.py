"""Requests that are read strictly, or refused with what is wrong."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.pki import PKI
from support.rest import Answer, Rest, served

from offload.admin import reading
from offload.admin.problem import MEDIA_TYPE
from offload.cluster.acts import CreateKey, DestroyKey, ListKeys
from offload.keys.state import State


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


def refused(rest: Rest, answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.body
    assert answer.content_type == MEDIA_TYPE
    assert rest.done == []
    found = answer.json()
    assert isinstance(found, dict)
    return found


async def test_fields_come_from_path_and_body(rest: Rest) -> None:
    await rest.ask("kim", "POST", "/v1/keys/www@2/destroy", {"wait_seconds": 5})
    assert rest.done == [DestroyKey(key="www@2", wait_seconds=5)]


async def test_fields_come_from_the_query(rest: Rest) -> None:
    await rest.ask("kim", "GET", "/v1/keys?state=active&limit=7&label=www*")
    assert rest.done == [ListKeys(state=State.ACTIVE, limit=7, label="www*")]


async def test_no_body_is_one_without_fields(rest: Rest) -> None:
    await rest.ask("kim", "POST", "/v1/keys/www/destroy")
    assert rest.done == [DestroyKey(key="www")]


async def test_a_number_is_an_integer_however_it_is_written(rest: Rest) -> None:
    await rest.ask("kim", "POST", "/v1/keys/www/destroy", data=b'{"wait_seconds": 5.0}')
    answer = await rest.ask("olga", "POST", "/v1/cluster/policy", data=b'{"copies": 3.0}')
    assert answer.json()["copies"] == 3


async def test_dates_and_lists_are_json(rest: Rest) -> None:
    body = {"label": "www", "sites": ["a.example"], "activates": "2030-01-01T00:00:00+01:00"}
    await rest.ask("kim", "POST", "/v1/keys", body)
    assert rest.done == [CreateKey.model_validate(body)]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b'{"label": NaN}', 400),
        (b'{"label": 1e999}', 400),
        (b'{"label": "a", "label": "b"}', 400),
        (b"[" * 50_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"label": 1}', 422),
        (b'{"label": "a/b"}', 422),
        (b'{"label": "www", "sites": "a.example"}', 422),
        (b'{"label": "www", "exportable": "yes"}', 422),
        (b'{"label": "www", "exportable": 1}', 422),
        (b'{"label": "www", "algorithm": "dsa"}', 422),
        (b'{"label": "www", "activates": 1}', 422),
        (b'{"label": "www", "activates": "2030-01-01T00:00:00"}', 422),
        (b'{"label": "www", "more": 1}', 422),
        (b'{"label": "\\ud800"}', 422),
        (b"{}", 422),
    ],
)
async def test_bodies_that_are_no_act_are_refused(rest: Rest, data: bytes, status: int) -> None:
    refused(rest, await rest.ask("kim", "POST", "/v1/keys", data=data), status)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1&limit=2", "state=gone", "more=1", "limit="]
)
async def test_queries_that_are_no_act_are_refused(rest: Rest, query: str) -> None:
    refused(rest, await rest.ask("kim", "GET", f"/v1/keys?{query}"), 422)


async def test_the_wrong_field_is_named_and_not_repeated(rest: Rest) -> None:
    body = {"label": "www", "public_key": "PEM", "enclosed": ["hush"]}
    answer = await rest.ask("kim", "POST", "/v1/keys/import", body)
    found = refused(rest, answer, 422)
    assert [one["field"] for one in found["errors"]] == ["enclosed"]
    assert b"hush" not in answer.body


async def test_a_field_of_the_path_stands_there_alone(rest: Rest) -> None:
    answer = await rest.ask("kim", "POST", "/v1/keys/www/destroy", {"key": "other"})
    assert "in the path" in refused(rest, answer, 422)["detail"]
    refused(rest, await rest.ask("kim", "GET", "/v1/keys/www?key=other"), 422)


async def test_a_path_that_names_no_key_is_refused(rest: Rest) -> None:
    for key in ("a%2Fb", "%00", "-", "www@0", "a" * 100):
        refused(rest, await rest.ask("kim", "GET", f"/v1/keys/{key}"), 422)


async def test_another_type_of_body_is_refused(rest: Rest) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = await rest.ask("kim", "POST", "/v1/keys", data=b"{}", headers=headers)
    refused(rest, answer, 415)


async def test_a_body_that_is_too_large_is_refused(rest: Rest) -> None:
    data = b'{"label": "' + b"a" * reading.MAX_BODY + b'"}'
    refused(rest, await rest.ask("kim", "POST", "/v1/keys", data=data), 413)


async def test_a_body_that_does_not_come_is_refused(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.05)
    port = int(rest.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=rest.client_context("kim")
    )
    writer.write(b"POST /v1/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
    status = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert status.startswith(b"HTTP/1.1 408 ")
    assert rest.done == []
