"""Every act has somebody who does it, in one place."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.cluster import NOW
from support.members import Members

from offload.admin.services import Services
from offload.audit.log import AuditLog
from offload.cluster.roles import MATRIX


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with AsyncExitStack() as stack:
        members = Members(tmp_path, stack)
        yield members
        await stack.aclose()
        await members.catalogue.close()


async def test_every_act_of_the_matrix_is_done(members: Members, tmp_path: Path) -> None:
    node = await members.found()
    log = AuditLog(tmp_path / "audit", node.name, lambda: NOW, cluster="example")
    services = Services.of(node, log)
    assert set(services.management.answers()) == set(MATRIX)
    assert services.tasks.keys() >= {"replication", "rotation", "checkpoints"}
    log.close()
