"""Who a request is from, at that moment."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.pki import PKI
from support.rest import Rest, served

from offload.admin.authentication import BURST
from offload.admin.problem import MEDIA_TYPE
from offload.catalogue import paths
from offload.cluster.bearer import PREFIX


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


async def session(rest: Rest, user: str = "", **headers: str) -> Any:
    answer = await rest.ask(user, "GET", "/v1/session", headers=headers)
    return answer.json() if answer.status == 200 else answer.status


async def token(rest: Rest, user: str) -> str:
    answer = await rest.ask(user, "POST", "/v1/tokens", {"seconds": 60})
    assert answer.status == 201
    return str(answer.json()["token"])


async def test_a_token_opens_without_a_certificate(rest: Rest) -> None:
    bearer = f"Bearer {await token(rest, 'kim')}"
    answer = await session(rest, Authorization=bearer)
    assert (answer["name"], answer["role"], answer["via"]) == ("kim", "key-user", "token")


async def test_a_token_counts_before_the_certificate(rest: Rest) -> None:
    answer = await session(rest, "olga", Authorization=f"bearer {await token(rest, 'kim')}")
    assert answer["name"] == "kim"


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Bearer offload_x", "Basic a2ltOng="])
async def test_a_wrong_token_is_not_made_up_for_by_a_certificate(rest: Rest, value: str) -> None:
    assert await session(rest, "olga", Authorization=value) == 401


async def test_strangers_cannot_have_the_catalogue_searched_at_will(rest: Rest) -> None:
    known = f"Bearer {await token(rest, 'kim')}"
    answers = [
        await session(rest, Authorization=f"Bearer {PREFIX}{number}")
        for number in range(int(BURST) + 5)
    ]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert (await session(rest, Authorization=known))["name"] == "kim"
    assert (await session(rest, "olga"))["name"] == "olga"


async def test_a_front_end_cannot_fill_the_audit_log(rest: Rest) -> None:
    answers = [
        (await rest.ask("front", "POST", "/v1/keys/www/suspend")).status
        for _ in range(int(BURST) + 5)
    ]
    assert (answers[0], answers[-1]) == (403, 429)
    assert len(rest.audit.records) <= BURST + 5
    assert (await session(rest, "kim"))["name"] == "kim"


async def test_who_was_removed_is_nobody_at_once(rest: Rest) -> None:
    bearer = f"Bearer {await token(rest, 'kim')}"
    assert (await session(rest, "kim"))["name"] == "kim"
    await rest.node.write({paths.USERS + "kim": None})
    assert await session(rest, "kim") == 401
    assert await session(rest, Authorization=bearer) == 401


async def test_a_member_s_certificate_is_no_user_s(rest: Rest) -> None:
    rest.identities["worker-9"] = rest.pki.identity("worker-9")
    assert await session(rest, "worker-9") == 401


async def test_a_front_end_is_known_and_may_nothing(rest: Rest) -> None:
    answer = await session(rest, "front")
    assert (answer["role"], answer["acts"]) == ("appliance", [])


async def test_a_challenge_says_what_is_missing(rest: Rest) -> None:
    answer = await rest.ask("", "GET", "/v1/keys")
    assert answer.status == 401
    assert answer.content_type == MEDIA_TYPE
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "certificate" in answer.json()["remedy"]


async def test_tokens_wait_for_the_catalogue(rest: Rest) -> None:
    bearer = f"Bearer {await token(rest, 'kim')}"
    rest.catalogue.down = True
    assert await session(rest, Authorization=bearer) == 503
    assert (await session(rest, "kim"))["name"] == "kim"
    rest.catalogue.down = False
