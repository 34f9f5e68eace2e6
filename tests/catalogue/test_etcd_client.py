"""Fail-over, tokens and deadlines, against endpoints that answer what the test says."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.ports import free_port
from support.scripted_etcd import Answer, ScriptedEtcd, breaks, fails, says, scripted_etcd

from offload.catalogue.base import (
    CatalogueDenied,
    CatalogueError,
    CatalogueUnavailable,
    Conflict,
    Put,
    Unchanged,
)
from offload.catalogue.etcd import EtcdCatalogue
from offload.config import EtcdSettings

RANGE, TXN, AUTH = "kv/range", "kv/txn", "auth/authenticate"
HEADER = {"header": {"revision": "7"}}
NOTHING = says(HEADER)
DONE = says({**HEADER, "succeeded": True})
MOVED = says(HEADER)
GUARDED = ([Put("a", b"1")], [Unchanged("a", 3)])


class Endpoints:
    """Scripted endpoints and catalogues on them."""

    def __init__(self, stack: AsyncExitStack, directory: Path) -> None:
        self._stack, self._directory = stack, directory

    async def start(self) -> ScriptedEtcd:
        return await self._stack.enter_async_context(scripted_etcd())

    async def catalogue(self, *endpoints: str, user: str | None = None) -> EtcdCatalogue:
        password = self._directory / "password"
        password.write_text("secret\n")
        settings = EtcdSettings(
            kind="etcd",
            endpoints=endpoints,
            user=user,
            password_file=password if user else None,
        )
        catalogue = await EtcdCatalogue.open(settings, attempt_seconds=0.3, total_seconds=1.0)
        self._stack.push_async_callback(catalogue.close)
        return catalogue


@pytest.fixture
async def endpoints(tmp_path: Path) -> AsyncIterator[Endpoints]:
    async with AsyncExitStack() as stack:
        yield Endpoints(stack, tmp_path)


@pytest.mark.parametrize("failure", ["hangs", "breaks", "no leader", "bad gateway", "refuses"])
async def test_another_endpoint_is_asked_and_remembered(endpoints: Endpoints, failure: str) -> None:
    bad, good = await endpoints.start(), await endpoints.start()
    answers: dict[str, Answer] = {
        "hangs": bad.hang,
        "breaks": breaks,
        "no leader": fails(14, "no leader"),
        "bad gateway": says({}, 502),
        "refuses": NOTHING,
    }
    bad.script(RANGE, answers[failure])
    good.script(RANGE, NOTHING)
    first = f"http://127.0.0.1:{free_port()}" if failure == "refuses" else bad.url
    catalogue = await endpoints.catalogue(first, good.url)

    assert await catalogue.get("a") is None
    asked = len(bad.asked)
    assert await catalogue.get("a") is None
    assert len(bad.asked) == asked <= 1
    assert len(good.asked) == 2


async def test_reads_are_given_up_in_time(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    etcd.script(RANGE, fails(14, "request timed out"))
    catalogue = await endpoints.catalogue(etcd.url)

    with pytest.raises(CatalogueUnavailable, match="majority"):
        await catalogue.get("a")
    assert 2 < len(etcd.asked) < 30


@pytest.mark.parametrize("failure", [fails(14, "request timed out"), breaks])
async def test_a_commit_whose_fate_is_unknown_is_not_repeated(
    endpoints: Endpoints, failure: Answer
) -> None:
    etcd = await endpoints.start()
    etcd.script(TXN, failure, DONE)
    catalogue = await endpoints.catalogue(etcd.url)

    with pytest.raises(CatalogueUnavailable, match="read before repeating"):
        await catalogue.commit([Put("a", b"1")], [Unchanged("b", 3)])
    assert len(etcd.asked) == 1


@pytest.mark.parametrize("failure", [fails(14, "no leader"), fails(8, "too many requests", 429)])
async def test_a_commit_that_was_not_made_is_repeated(
    endpoints: Endpoints, failure: Answer
) -> None:
    etcd = await endpoints.start()
    etcd.script(TXN, failure, DONE)
    catalogue = await endpoints.catalogue(etcd.url)

    assert await catalogue.commit([Put("a", b"1")]) == 7


async def test_a_commit_that_checks_what_it_writes_is_repeated(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    etcd.script(TXN, breaks, DONE)
    catalogue = await endpoints.catalogue(etcd.url)

    assert await catalogue.commit(*GUARDED) == 7
    first, second = etcd.asked_for(TXN)
    assert first == second


async def test_a_commit_that_was_made_is_known_by_its_mark(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()

    async def mark(_request: Any) -> Any:
        put = etcd.asked_for(TXN)[0]["success"][-1]["request_put"]
        found = {"key": put["key"], "value": put["value"], "mod_revision": "5"}
        return await says({**HEADER, "kvs": [found]})(_request)

    etcd.script(TXN, breaks, MOVED)
    etcd.script(RANGE, mark)
    catalogue = await endpoints.catalogue(etcd.url)

    assert await catalogue.commit(*GUARDED) == 5


async def test_without_its_mark_a_commit_s_fate_stays_unknown(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    other = {"key": base64.b64encode(b"/offload/\x001").decode(), "value": "", "mod_revision": "5"}
    etcd.script(TXN, breaks, MOVED)
    etcd.script(RANGE, says({**HEADER, "kvs": [other]}))
    catalogue = await endpoints.catalogue(etcd.url)

    with pytest.raises(CatalogueUnavailable, match="read before repeating"):
        await catalogue.commit(*GUARDED)


async def test_a_check_that_fails_at_once_is_a_conflict(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    etcd.script(TXN, fails(14, "no leader"), MOVED)
    catalogue = await endpoints.catalogue(etcd.url)

    with pytest.raises(Conflict, match="read again"):
        await catalogue.commit(*GUARDED)


async def test_a_token_is_renewed(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    etcd.script(AUTH, says({"token": "first"}), says({"token": "second"}))
    etcd.script(TXN, DONE, fails(16, "invalid auth token", 401), DONE)
    catalogue = await endpoints.catalogue(etcd.url, user="member")

    await catalogue.commit([Put("a", b"")])
    await catalogue.commit([Put("a", b"")])
    tokens = [token for path, _, token in etcd.asked if path == TXN]
    assert tokens == ["first", "first", "second"]
    assert etcd.asked_for(AUTH) == [{"name": "member", "password": "secret"}] * 2


async def test_tokens_that_are_never_good_are_said(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    etcd.script(AUTH, says({"token": "useless"}))
    etcd.script(RANGE, fails(16, "invalid auth token", 401))
    catalogue = await endpoints.catalogue(etcd.url, user="member")

    with pytest.raises(CatalogueDenied):
        await catalogue.get("a")
    assert len(etcd.asked) < 10


async def test_a_store_that_lets_everybody_in_is_refused(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    etcd.script(AUTH, fails(9, "authentication is not enabled", 412))
    catalogue = await endpoints.catalogue(etcd.url, user="member")

    with pytest.raises(CatalogueDenied, match="turn its authentication on"):
        await catalogue.get("a")


async def test_a_full_store_is_said(endpoints: Endpoints) -> None:
    etcd = await endpoints.start()
    etcd.script(TXN, fails(8, "mvcc: database space exceeded", 429))
    catalogue = await endpoints.catalogue(etcd.url)

    with pytest.raises(CatalogueUnavailable, match="defragment"):
        await catalogue.commit([Put("a", b"")])


async def test_what_is_too_large_for_one_answer_is_asked_in_smaller_pages(
    endpoints: Endpoints,
) -> None:
    etcd = await endpoints.start()
    large = fails(8, "grpc: received message larger than max (5 vs. 4)", 429)
    found = {"key": base64.b64encode(b"/offload/a").decode(), "mod_revision": "2"}
    etcd.script(RANGE, large, large, says({**HEADER, "kvs": [found], "more": True}), NOTHING)
    catalogue = await endpoints.catalogue(etcd.url)

    listed = await catalogue.list("")
    assert [entry.key for entry in listed.entries] == ["a"]
    asked = [(body["limit"], body["revision"]) for body in etcd.asked_for(RANGE)]
    assert asked == [("1000", "0"), ("500", "0"), ("250", "0"), ("250", "7")]


async def a_page(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>welcome</html>")


@pytest.mark.parametrize(
    ("answer", "text"),
    [(says({"error": "page not found"}, 404), "page not found"), (a_page, "no etcd")],
)
async def test_what_is_no_etcd_is_said(endpoints: Endpoints, answer: Answer, text: str) -> None:
    etcd = await endpoints.start()
    etcd.script(RANGE, answer)
    catalogue = await endpoints.catalogue(etcd.url)

    with pytest.raises(CatalogueError, match=text):
        await catalogue.get("a")
