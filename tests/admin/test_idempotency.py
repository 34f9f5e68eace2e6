"""A write that is repeated is done once, whoever answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.pki import PKI
from support.rest import Answer, Rest, managed, served, serving

from offload.admin.idempotency import REPEATED
from offload.catalogue import paths
from offload.catalogue.base import Put
from offload.cluster.acts import CreateKey

WWW = {"label": "www"}


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


async def create(rest: Rest, key: str, body: Any = None, user: str = "kim") -> Answer:
    headers = {"Idempotency-Key": key}
    return await rest.ask(user, "POST", "/v1/keys", body or WWW, headers=headers)


async def test_the_same_request_gets_the_same_answer(rest: Rest) -> None:
    first, second = await create(rest, "one"), await create(rest, "one")
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body
    assert (REPEATED in first.headers, second.headers[REPEATED]) == (False, "true")
    assert rest.done == [CreateKey(label="www")]


async def test_another_key_is_another_request(rest: Rest) -> None:
    await create(rest, "one")
    await create(rest, "two")
    await create(rest, "one", user="kim")
    assert len(rest.done) == 2


async def test_without_a_key_each_request_is_done(rest: Rest) -> None:
    for _ in range(2):
        await rest.ask("kim", "POST", "/v1/keys", WWW)
    assert len(rest.done) == 2


async def test_a_key_is_for_one_request(rest: Rest) -> None:
    await create(rest, "one")
    answer = await create(rest, "one", {"label": "other"})
    assert answer.status == 422
    assert answer.json()["type"].endswith("idempotency-key-reused")
    headers = {"Idempotency-Key": "one"}
    assert (await rest.ask("kim", "POST", "/v1/keys/www/keep", headers=headers)).status == 422


async def test_keys_of_others_are_others(rest: Rest) -> None:
    headers = {"Idempotency-Key": "one"}
    await rest.ask("kim", "POST", "/v1/keys/www/suspend", headers=headers)
    await rest.ask("olga", "POST", "/v1/keys/www/suspend", headers=headers)
    assert len(rest.done) == 2


async def test_a_request_that_is_being_done_is_not_begun_again(rest: Rest) -> None:
    rest.hold()
    first = asyncio.create_task(create(rest, "one"))
    await rest.begun.wait()
    second = await create(rest, "one")
    rest.release()
    assert second.status == 409
    assert second.json()["type"].endswith("in-progress")
    assert int(second.headers["Retry-After"]) > 0
    assert (await first).status == 201


async def test_a_refusal_is_repeated_too(rest: Rest) -> None:
    headers = {"Idempotency-Key": "one"}
    path = "/v1/approvals/" + "0" * 32 + "/reject"
    first = await rest.ask("olga", "POST", path, headers=headers)
    second = await rest.ask("olga", "POST", path, headers=headers)
    assert (first.status, second.status) == (404, 404)
    assert second.headers[REPEATED] == "true"


async def test_who_may_not_leaves_nothing_in_the_catalogue(rest: Rest) -> None:
    # A stolen front-end has a certificate, and could fill the store with answers.
    for number in range(3):
        headers = {"Idempotency-Key": str(number)}
        answer = await rest.ask("front", "POST", "/v1/keys/www/suspend", headers=headers)
        assert answer.status == 403
    assert not (await rest.catalogue.list(paths.IDEMPOTENCY)).entries


async def test_what_was_not_possible_may_be_tried_again(rest: Rest) -> None:
    rest.audit.broken = True
    assert (await create(rest, "one")).status == 503
    rest.audit.broken = False
    assert (await create(rest, "one")).status == 201


async def test_an_act_that_needs_approval_goes_on_under_its_key(rest: Rest) -> None:
    await rest.policy(key_create=1)
    pending = await create(rest, "one")
    assert pending.status == 202
    approval = pending.json()["approval"]
    await rest.sign("olga", approval)
    headers = {"Idempotency-Key": "one", "Offload-Approval": approval}
    for _ in range(2):
        done = await rest.ask("kim", "POST", "/v1/keys", WWW, headers=headers)
        assert done.status == 201
    assert len(rest.done) == 1


async def test_another_member_gives_the_same_answer(rest: Rest, pki: PKI) -> None:
    first = await create(rest, "one")
    async with managed(pki, rest) as other, serving(other):
        second = await create(other, "one")
        assert second.body == first.body
        assert second.headers[REPEATED] == "true"
        assert other.done == []


async def test_a_secret_is_not_kept(rest: Rest) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await rest.ask("kim", "POST", "/v1/tokens", {}, headers=headers)
    second = await rest.ask("kim", "POST", "/v1/tokens", {}, headers=headers)
    assert (first.status, second.status) == (201, 409)
    assert second.json()["type"].endswith("answer-gone")
    token = first.json()["token"].encode()
    assert not [one for one in (await rest.catalogue.list("")).entries if token in one.value]


async def test_an_answer_that_no_member_gave_is_not_repeated(rest: Rest) -> None:
    await create(rest, "one")
    entry = next(iter((await rest.catalogue.list(paths.IDEMPOTENCY)).entries))
    await rest.catalogue.commit([Put(entry.key, b'{"body": "forged"}')])
    assert (await create(rest, "one")).status == 409


@pytest.mark.parametrize("key", ["", " ", "a b", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a" * 256])
async def test_a_key_is_visible_ascii(rest: Rest, key: str) -> None:
    assert (await create(rest, key)).status == 400
    assert rest.done == []


async def test_what_cannot_be_kept_track_of_is_not_done(rest: Rest) -> None:
    rest.catalogue.down = True
    answer = await create(rest, "one")
    rest.catalogue.down = False
    assert answer.status == 503
    assert rest.done == []
