"""A server that follows the local copy: who is served, and when no more."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from OpenSSL import SSL
from support.front_end import FrontEnd, client_context
from support.managed_keys import appliance, cluster_record, key_record, managed_key
from support.pki import PKI, Issued
from support.worker_server import Running

from offload.catalogue.base import Delete, Put, Write
from offload.catalogue.database import Database
from offload.config import Identity
from offload.keys.managed import ManagedKey
from offload.keys.scheme import SignatureScheme
from offload.keys.state import State
from offload.tls.mutual import server_context
from offload.token.fake import FakeToken
from offload.wire.error import ErrorCode
from offload.wire.message import Failure, Message, Signature, TlsSign
from offload.worker.entitlements import Entitlements
from offload.worker.follower import Follower
from offload.worker.replica import Replica
from offload.worker.server import Server
from offload.worker.use import TLS_1_3

SHOP = key_record("shop")


class Member:
    """A server and the local copy that it follows; the copy is looked at when told."""

    def __init__(
        self, directory: Path, token: FakeToken, context: SSL.Context, known: Issued
    ) -> None:
        self.known = known
        self._copy = Database(directory / "replica.db")
        self.entitlements = Entitlements()
        self.running = Running(Server(token, self.entitlements, context, threads=1))
        self.replica = Replica(directory / "replica.db")
        self.follower = Follower(
            asyncio.get_running_loop(), self.replica, self.entitlements, self.running.server
        )

    def mirror(self, *writes: Write) -> None:
        self._copy.commit(writes, ())
        self.follower.look()

    def first(self, *keys: ManagedKey) -> Sequence[Write]:
        front_end = appliance("front-end", self.known.fingerprint)
        return [
            Put("cluster", cluster_record().body()),
            Put("appliances/front-end", front_end.body()),
            *map(put, keys),
        ]

    def close(self) -> None:
        self.follower.stop()
        self.running.stop()
        self._copy.close()


def put(key: ManagedKey) -> Put:
    return Put(f"keys/{key.ski.hex()}", key.body())


def request(number: int = 1) -> TlsSign:
    scheme = SignatureScheme.ECDSA_SECP256R1_SHA256
    return TlsSign(number, SHOP.ski, scheme, TLS_1_3, bytes(32))


@pytest.fixture
def token() -> FakeToken:
    return FakeToken([SHOP])


@pytest.fixture
async def member(tmp_path: Path, pki: PKI, token: FakeToken) -> AsyncIterator[Member]:
    tmp_path.chmod(0o700)
    worker = pki.identity("worker")
    identity = Identity(certificate=worker.certificate_path, key=worker.key_path)
    context = server_context(identity, pki.root_path)
    member = Member(tmp_path, token, context, pki.identity("front-end"))
    yield member
    member.close()


@pytest.fixture
async def front_end(member: Member, pki: PKI) -> AsyncIterator[FrontEnd]:
    member.mirror(*member.first(managed_key(SHOP)))
    front_end = await FrontEnd.connect(
        member.running.port, client_context(member.known, pki.root_path)
    )
    yield front_end
    front_end.close()


async def test_a_key_is_suspended_and_resumed_on_a_live_link(
    member: Member, front_end: FrontEnd
) -> None:
    refused: Message = Failure(1, ErrorCode.KEY_NOT_FOUND)
    assert type(await front_end.ask(request())) is Signature
    member.mirror(put(managed_key(SHOP, state=State.SUSPENDED)))
    assert await front_end.ask(request()) == refused
    member.mirror(put(managed_key(SHOP)))
    assert type(await front_end.ask(request())) is Signature


async def test_a_front_end_that_is_removed_loses_its_link(
    member: Member, front_end: FrontEnd
) -> None:
    assert type(await front_end.ask(request())) is Signature
    member.mirror(Delete("appliances/front-end"))
    assert await front_end.ended()


async def test_a_key_that_comes_later_is_taken_from_the_token(
    member: Member, front_end: FrontEnd, token: FakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = key_record("later")
    asked = request()._replace(ski=later.ski)
    assert await front_end.ask(asked) == Failure(1, ErrorCode.KEY_NOT_FOUND)
    reloads: list[None] = []

    def reload() -> bool:
        reloads.append(None)
        token.add(later)
        return True

    monkeypatch.setattr(token, "reload", reload)
    member.mirror(put(managed_key(later)))
    assert type(await front_end.ask(asked)) is Signature
    member.mirror(put(managed_key(later, version=2)))
    assert len(reloads) == 1


async def test_a_token_that_lists_its_keys_aside_is_asked_again(
    member: Member, front_end: FrontEnd, token: FakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = key_record("later")
    listed = [False, True]

    def reload() -> bool:
        if ready := listed.pop(0):
            token.add(later)
        return ready

    monkeypatch.setattr(token, "reload", reload)
    member.mirror(put(managed_key(later)))
    async with asyncio.timeout(10):
        while listed:
            member.follower.look()
            await asyncio.sleep(0)
    answer = await front_end.ask(request()._replace(ski=later.ski))
    assert type(answer) is Signature


async def test_nothing_is_loaded_before_there_is_a_copy(member: Member) -> None:
    member.follower.start()
    assert not member.follower.loaded.is_set()
    member.mirror(*member.first())
    assert member.follower.loaded.is_set()


async def test_it_looks_by_itself(member: Member) -> None:
    member.follower.start()
    member._copy.commit(member.first(managed_key(SHOP)), ())
    async with asyncio.timeout(10):
        await member.follower.loaded.wait()
    assert next(iter(member.entitlements.policies)).frontend == "front-end"
