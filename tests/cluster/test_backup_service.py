"""The act of backing up, done by a member."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from support.members import Members

from offload.catalogue.fake import FakeCatalogue
from offload.cluster.actor import Actor
from offload.cluster.acts import BackUp
from offload.cluster.backup import restore
from offload.cluster.backup_service import BackupService
from offload.cluster.failures import Unavailable
from offload.cluster.views import BackupView
from offload.keys.role import Role

OFFICER = Actor("alice", Role.OFFICER)


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with AsyncExitStack() as stack:
        made = Members(tmp_path, stack)
        await made.found()
        yield made


async def test_a_member_backs_up_what_can_be_restored(members: Members) -> None:
    node = members.nodes["worker-1"]
    view = await BackupService(node).handlers[BackUp](OFFICER, BackUp())

    assert isinstance(view, BackupView)
    assert view.member == "worker-1"
    assert sha256(view.backup.encode()).hexdigest() == view.sha256
    assert members.founded is not None
    root = x509.load_pem_x509_certificate(members.founded.authority)
    empty = FakeCatalogue()
    assert await restore(empty, view.backup.encode(), root) == view.entries
    assert (await empty.list("")).entries


async def test_without_the_catalogue_there_is_no_backup(members: Members) -> None:
    node = members.nodes["worker-1"]
    assert isinstance(node.catalogue, FakeCatalogue)
    node.catalogue.down = True

    with pytest.raises(Unavailable):
        await BackupService(node).handlers[BackUp](OFFICER, BackUp())
