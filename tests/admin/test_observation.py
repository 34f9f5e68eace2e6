"""Each request is one line of log, without what may be secret."""

from collections.abc import AsyncIterator

import pytest
import structlog
from support.pki import PKI
from support.rest import Rest, served


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


async def test_a_request_is_one_line(rest: Rest) -> None:
    with structlog.testing.capture_logs() as lines:
        await rest.ask("kim", "GET", "/v1/keys?label=hush", headers={"Cookie": "hush"})
    (line,) = lines
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/keys", 200)
    assert (line["actor"], line["via"], line["peer"]) == ("kim", "certificate", "127.0.0.1")
    assert line["milliseconds"] >= 0
    assert "hush" not in str(lines)


async def test_a_token_is_in_no_line(rest: Rest) -> None:
    token = (await rest.ask("kim", "POST", "/v1/tokens", {})).json()["token"]
    with structlog.testing.capture_logs() as lines:
        await rest.ask("", "GET", "/v1/session", headers={"Authorization": f"Bearer {token}"})
        await rest.ask("", "GET", "/v1/session", headers={"Authorization": f"Bearer {token}x"})
    assert [line["status"] for line in lines] == [200, 401]
    assert token not in str(lines)


async def test_a_path_with_line_breaks_is_one_line(rest: Rest) -> None:
    with structlog.testing.capture_logs() as lines:
        await rest.ask("kim", "GET", "/v1/keys/a%0Ab")
    assert [line["path"] for line in lines] == ["/v1/keys/a%0Ab"]


async def test_answers_are_kept_by_nobody(rest: Rest) -> None:
    for user in ("kim", ""):
        answer = await rest.ask(user, "GET", "/v1/keys")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
