import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from support.cluster import NOW
from support.enrolling import Inviting, inviting
from support.members import Newcomer
from support.ports import free_port

from offload.cli.enrolling import enrol
from offload.cli.failure import Failure
from offload.cluster.authority import Authority
from offload.cluster.invitation import Invitation, Reachable


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Inviting]:
    async with inviting(tmp_path) as made:
        yield made


@pytest.fixture
def newcomer(cluster: Inviting) -> Newcomer:
    return cluster.members.newcomer("worker-2")


class Said:
    """What a newcomer is told, to be waited for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.lines.append(text)
        self._news.set()

    async def first(self) -> str:
        await self._news.wait()
        return self.lines[0]


async def ask(newcomer: Newcomer, invitation: Invitation, said: Said | None = None) -> bytes:
    async with asyncio.timeout(20):
        return await enrol(
            invitation,
            newcomer.application(invitation),
            newcomer.key.public_key(),
            say=said or Said(),
            pause=0.02,
        )


async def test_it_waits_until_an_officer_has_approved(
    cluster: Inviting, newcomer: Newcomer
) -> None:
    said = Said()
    asking = asyncio.create_task(ask(newcomer, await cluster.invite(), said))
    fingerprint = await cluster.asked()
    assert await said.first() == "waiting for an officer to approve"
    await cluster.enrolment.approve("worker-2", fingerprint)
    certificate = x509.load_pem_x509_certificate(await asking)
    assert certificate.public_key() == newcomer.key.public_key()
    assert said.lines == ["waiting for an officer to approve"]


async def test_it_is_told_when_it_is_rejected(cluster: Inviting, newcomer: Newcomer) -> None:
    said = Said()
    asking = asyncio.create_task(ask(newcomer, await cluster.invite(), said))
    await cluster.asked()
    await said.first()
    await cluster.enrolment.reject("worker-2")
    with pytest.raises(Failure, match="worker-1 refuses: no such application"):
        await asking


async def test_a_wrong_secret_is_refused(cluster: Inviting, newcomer: Newcomer) -> None:
    invitation = (await cluster.invite()).model_copy(update={"secret": "wrong"})
    with pytest.raises(Failure, match="there is no such invitation") as caught:
        await ask(newcomer, invitation)
    assert caught.value.complaints[0].hint == "ask an officer for a new one"


async def test_a_member_that_is_down_is_passed_over(cluster: Inviting, newcomer: Newcomer) -> None:
    invitation = await cluster.invite()
    down = Reachable(name="worker-0", api=f"127.0.0.1:{free_port()}")
    both = invitation.model_copy(update={"members": (down, *invitation.members)})
    asking = asyncio.create_task(ask(newcomer, both))
    await cluster.enrolment.approve("worker-2", await cluster.asked())
    assert await asking


async def test_a_member_of_another_cluster_hears_nothing(
    cluster: Inviting, newcomer: Newcomer
) -> None:
    said = Said()
    stranger = Authority.create("cluster", NOW).certificate_pem().decode()
    invitation = (await cluster.invite()).model_copy(update={"authority": stranger})
    asking = asyncio.create_task(ask(newcomer, invitation, said))
    assert "no member can be asked" in await said.first()
    assert "verify failed" in said.lines[0]
    assert cluster.enrolment.pending() == {}
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_member_of_another_name_hears_nothing(
    cluster: Inviting, newcomer: Newcomer
) -> None:
    said = Said()
    other = Reachable(name="worker-7", api=f"127.0.0.1:{cluster.port}")
    invitation = (await cluster.invite()).model_copy(update={"members": (other,)})
    asking = asyncio.create_task(ask(newcomer, invitation, said))
    assert "worker-7" in await said.first()
    assert cluster.enrolment.pending() == {}
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
