"""Tokens: who has one acts as its user, as long as both last."""

from collections.abc import AsyncIterator

import pytest
from support.pki import PKI
from support.rest import Rest, managed

from offload.catalogue import paths
from offload.catalogue.base import Put
from offload.catalogue.records import UserRecord
from offload.cluster.bearer import PREFIX, Bearers


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with managed(pki) as made:
        yield made


@pytest.fixture
def bearers(rest: Rest) -> Bearers:
    return Bearers(rest.node)


@pytest.fixture
def kim(rest: Rest) -> UserRecord:
    return rest.node.view.users["kim"]


async def test_a_token_is_its_users(bearers: Bearers, kim: UserRecord) -> None:
    bearer = await bearers.mint(kim, 60)
    assert bearer.token.startswith(PREFIX)
    assert await bearers.user(bearer.token) == kim


async def test_the_catalogue_never_holds_a_token(
    rest: Rest, bearers: Bearers, kim: UserRecord
) -> None:
    bearer = await bearers.mint(kim, 60)
    secret = bearer.token.removeprefix(PREFIX)
    for entry in (await rest.catalogue.list("")).entries:
        assert secret not in entry.key
        assert secret.encode() not in entry.value
    assert secret not in repr(bearer)


@pytest.mark.parametrize(
    "token", ["", "offload_", "offload_x", "x", "offload_\N{SNOWMAN}", "offload_\udcff"]
)
async def test_what_is_no_token_is_nobodys(bearers: Bearers, token: str) -> None:
    assert not bearers.seen(token)
    assert await bearers.user(token) is None


async def test_a_token_that_was_made_is_seen(bearers: Bearers, kim: UserRecord) -> None:
    assert bearers.seen((await bearers.mint(kim, 60)).token)


async def test_a_token_ends(rest: Rest, bearers: Bearers, kim: UserRecord) -> None:
    bearer = await bearers.mint(kim, 60)
    rest.clock.forward(60)
    assert await bearers.user(bearer.token) is None


async def test_a_token_ends_with_its_user(rest: Rest, bearers: Bearers, kim: UserRecord) -> None:
    bearer = await bearers.mint(kim, 60)
    await rest.node.write({paths.USERS + "kim": None})
    assert await bearers.user(bearer.token) is None
    await rest.node.write({paths.USERS + "kim": kim.model_copy(update={"fingerprint": "00"})})
    assert await bearers.user(bearer.token) is None


async def test_a_token_has_the_role_of_now(rest: Rest, bearers: Bearers, kim: UserRecord) -> None:
    bearer = await bearers.mint(kim, 60)
    await rest.node.write({paths.USERS + "kim": kim.model_copy(update={"role": "auditor"})})
    user = await bearers.user(bearer.token)
    assert user is not None
    assert user.role == "auditor"


async def test_who_runs_the_store_cannot_make_one(
    rest: Rest, bearers: Bearers, kim: UserRecord
) -> None:
    bearer = await bearers.mint(kim, 60)
    entry = next(iter((await rest.catalogue.list(paths.TOKENS)).entries))
    moved = paths.TOKENS + "5f3c22d13ea7b3ed7ea3c0a34b4ff3b9b3e5dd0c7c4f7ab6a8e0d9e9f5f0c111"
    await rest.catalogue.commit([Put(moved, entry.value), Put(entry.key, b"{}")])
    assert await bearers.user(bearer.token) is None
