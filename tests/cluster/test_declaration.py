from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.members import Members, members_in

from offload.catalogue import paths
from offload.cluster.declaration import configured, declare
from offload.cluster.removal import remove
from offload.config import Worker


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    async with members_in(tmp_path) as made:
        await made.found()
        yield made


def worker(tmp_path: Path, **changes: Any) -> Worker:
    """As the founder was configured, but for `changes` of its cluster's table."""
    table = {
        "state": "state",
        "catalogue": {"path": "catalogue.db"},
        "zone": "a",
        "api": "127.0.0.1:8443",
        **changes,
    }
    return Worker.model_validate(
        {
            "name": "worker-1",
            "listen": "127.0.0.1:2407",
            "identity": {"certificate": "a", "key": "b"},
            "trust": "c",
            "token": {"directory": "d", "passphrase_file": "e"},
            "cluster": table,
        },
        context={"base": tmp_path},
    )


async def test_a_record_follows_the_configuration(members: Members, tmp_path: Path) -> None:
    node = members.nodes["worker-1"]
    before = node.view.members["worker-1"]
    changes = {"advertise": "10.0.0.9:1", "advertise_api": "10.0.0.9:2", "capacity": 3}
    await declare(node, worker(tmp_path, zone="c", **changes))
    after = node.view.members["worker-1"]
    assert (after.zone, after.capacity) == ("c", 3.0)
    assert (after.address, after.api) == ("10.0.0.9:1", "10.0.0.9:2")
    assert (after.certificate, after.transport) == (before.certificate, before.transport)


async def test_nothing_is_written_where_nothing_changed(members: Members, tmp_path: Path) -> None:
    node = members.nodes["worker-1"]
    revision = node.view.revision_of(paths.MEMBERS + "worker-1")
    await declare(node, worker(tmp_path))
    assert node.view.revision_of(paths.MEMBERS + "worker-1") == revision


async def test_an_address_that_is_left_open_stays_as_it_was(
    members: Members, tmp_path: Path
) -> None:
    node = members.nodes["worker-1"]
    member = node.view.members["worker-1"]
    assert configured(worker(tmp_path, api=None), member).api == "127.0.0.1:8443"
    assert configured(worker(tmp_path, api="127.0.0.1:0"), member).api == "127.0.0.1:8443"


async def test_somebody_elses_change_is_seen_first(members: Members, tmp_path: Path) -> None:
    node = members.nodes["worker-1"]
    other = await members.join("worker-2")
    member = other.view.members["worker-1"].model_copy(update={"capacity": 9.0})
    await other.write({paths.MEMBERS + "worker-1": member})
    await declare(node, worker(tmp_path, zone="d"))
    record = node.view.members["worker-1"]
    assert (record.zone, record.capacity) == ("d", 1.0)


async def test_who_is_removed_declares_nothing(members: Members, tmp_path: Path) -> None:
    second = await members.join("worker-2")
    await members.nodes["worker-1"].view.until(lambda view: "worker-2" in view.present)
    await remove(members.nodes["worker-1"], "worker-2")
    await second.view.until(lambda view: "worker-2" not in view.present)
    await declare(second, worker(tmp_path, zone="d"))
    assert second.view.members["worker-2"].zone == "b"
