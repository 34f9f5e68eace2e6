import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from offload.catalogue.base import CatalogueError, Put
from offload.catalogue.opening import open_catalogue
from offload.cli.demo.children import Children
from offload.cli.demo.etcd import FRONTEND_USER, SIZE, WORKER_USER, Etcd, require_etcd
from offload.cli.demo.ports import free_ports
from offload.cli.failure import Failure
from offload.config import CatalogueSettings


@contextmanager
def running(directory: Path) -> Iterator[tuple[Etcd, Children]]:
    with Children(directory / "logs") as children:
        etcd = Etcd(directory / "etcd", children, free_ports(2 * SIZE), datetime.now(UTC))
        etcd.set_up()
        yield etcd, children


async def write(etcd: Etcd, user: str, path: str) -> None:
    adapter: TypeAdapter[CatalogueSettings] = TypeAdapter(CatalogueSettings)
    catalogue = await open_catalogue(adapter.validate_python(etcd.table(user)))
    try:
        await catalogue.commit([Put(path, b"{}")])
    finally:
        await catalogue.close()


@pytest.mark.needs("etcd")
def test_users_may_do_what_is_theirs_and_a_leader_may_die(tmp_path: Path) -> None:
    with running(tmp_path) as (etcd, children):
        asyncio.run(write(etcd, WORKER_USER, "keys/1"))
        asyncio.run(write(etcd, FRONTEND_USER, "frontends/1"))
        with pytest.raises(CatalogueError):
            asyncio.run(write(etcd, FRONTEND_USER, "keys/1"))
        dead = etcd.leader()
        assert dead in etcd.members
        etcd.kill(dead)
        children.wait_until(lambda: etcd.leader() not in (None, dead), "another leader")
        asyncio.run(write(etcd, WORKER_USER, "keys/2"))
        etcd.again(dead)
        children.wait_until(lambda: etcd.leader() is not None, "a leader")


def test_etcd_that_is_not_installed_is_said_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="etcd is not installed") as caught:
        require_etcd()
    assert "apt-get install etcd-server" in caught.value.complaints[0].hint
