import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from support.pki import PKI
from support.ports import free_port
from support.rest import Rest, served

from offload.admin.idempotency import HEADER
from offload.admin.serving import Serving, serve
from offload.admin.tls import server_context
from offload.cli import remote
from offload.cli.client_file import ClientFile
from offload.cli.failure import Failure
from offload.cli.refusal import NeedsApproval
from offload.cli.remote import Remote
from offload.cluster import acts
from offload.cluster.views import ClusterView, Done, KeyView, UserList

Handler = Callable[[web.Request], web.Response]


@pytest.fixture
async def rest(pki: PKI) -> AsyncIterator[Rest]:
    async with served(pki) as made:
        yield made


def client(rest: Rest, user: str, *servers: str) -> ClientFile:
    mine = rest.identities[user]
    return ClientFile(
        Path("client.toml"),
        servers or (rest.url,),
        mine.certificate_path,
        mine.key_path,
        rest.pki.root_path,
    )


class Scripted:
    """A member that answers what it is told to, one after the other."""

    def __init__(self, *answers: tuple[int, object] | None) -> None:
        self._answers = list(answers)
        self.keys: list[str | None] = []
        self.url = ""
        self._serving: Serving | None = None

    async def start(self, pki: PKI) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        mine = pki.identity("worker-2")
        context = server_context(mine.certificate_path, mine.key_path, pki.root_path)
        self._serving = await serve(app, ("127.0.0.1", 0), context)
        self.url = f"https://127.0.0.1:{self._serving.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._serving is not None
        await self._serving.close()

    async def _answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get(HEADER))
        answer = self._answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.json_response(answer[1], status=answer[0])


async def test_acts_are_performed_as_the_user(rest: Rest) -> None:
    async with Remote.open(client(rest, "olga")) as olga:
        assert (await olga.perform(acts.ShowCluster(), ClusterView)).name == "test"
        assert await olga.perform(acts.RollClusterKey(), Done) == Done()
        with pytest.raises(Failure, match=r"the role officer does not cover key\.create"):
            await olga.perform(acts.CreateKey(label="www"), KeyView)
    assert rest.done == [acts.RollClusterKey()]


async def test_officers_come_first_where_they_must(rest: Rest) -> None:
    await rest.policy(key_destroy=1)
    act = acts.DestroyKey(key="www", wait_seconds=0)
    async with Remote.open(client(rest, "kim")) as kim:
        with pytest.raises(NeedsApproval) as caught:
            await kim.perform(act, Done)
        await rest.sign("olga", caught.value.approval)
        await kim.perform(act, Done, approval=caught.value.approval)
    assert rest.done == [act]


async def test_the_transport_key(rest: Rest) -> None:
    async with Remote.open(client(rest, "kim")) as kim:
        found = await kim.transport()
    assert (found.member, found.rsa) == ("worker-1", rest.node.token.transport.rsa)


async def test_the_next_server_is_asked_when_one_is_down(rest: Rest) -> None:
    down = f"https://127.0.0.1:{free_port()}"
    async with Remote.open(client(rest, "olga", down, rest.url)) as olga:
        assert (await olga.perform(acts.ListUsers(), UserList)).users
    async with Remote.open(client(rest, "olga", down)) as olga:
        with pytest.raises(Failure, match=f"no server answers: {down}: "):
            await olga.perform(acts.ListUsers(), UserList)


async def test_a_write_whose_answer_was_lost_is_repeated_with_the_same_key(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_PAUSE_SECONDS", 0)
    doing = {"type": "urn:offload:problem:in-progress", "detail": "not done yet"}
    first, second = Scripted(None), Scripted((409, doing), (200, {"done": True}))
    for one in (first, second):
        await one.start(rest.pki)
    try:
        async with Remote.open(client(rest, "olga", first.url, second.url)) as olga:
            await olga.perform(acts.RollClusterKey(), Done)
    finally:
        for one in (first, second):
            await one.stop()
    (key,) = {*first.keys, *second.keys}
    assert key is not None
    assert len(key) == 32
    assert len(second.keys) == 2


async def test_an_answer_of_another_release_is_said_to_be_one(rest: Rest) -> None:
    server = Scripted((200, {"nonsense": 1}), (502, json.loads("{}")))
    await server.start(rest.pki)
    try:
        async with Remote.open(client(rest, "olga", server.url)) as olga:
            with pytest.raises(Failure, match="cannot be understood"):
                await olga.perform(acts.ShowCluster(), ClusterView)
            with pytest.raises(Failure, match="the server answers 502"):
                await olga.perform(acts.ShowCluster(), ClusterView)
    finally:
        await server.stop()


async def test_a_server_of_another_authority_hears_nothing(rest: Rest, tmp_path: Path) -> None:
    other = PKI(tmp_path)
    server = Scripted()
    await server.start(other)
    try:
        async with Remote.open(client(rest, "olga", server.url)) as olga:
            with pytest.raises(Failure, match="no server answers"):
                await olga.perform(acts.ShowCluster(), ClusterView)
    finally:
        await server.stop()
    assert server.keys == []
