from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import softhsm

from offload.catalogue import paths
from offload.catalogue.base import CatalogueUnavailable
from offload.catalogue.opening import open_catalogue
from offload.cli import cluster_create
from offload.cli.cluster_create import create
from offload.cli.failure import Failure
from offload.cli.member_plan import FrontendPlan, MemberPlan
from offload.config import load
from offload.token.opening import open_token

NOW = datetime.now(UTC)
PLAN = MemberPlan("worker-1", zone="a")


async def found(directory: Path, plan: MemberPlan = PLAN) -> None:
    await create(directory, "example", "alice", plan, NOW, [FrontendPlan("frontend-1")])


async def test_the_directory_has_all_that_a_worker_needs(tmp_path: Path) -> None:
    place = tmp_path / "cluster"
    await found(place)
    moved = place.rename(tmp_path / "moved")
    worker = load(moved / "worker.toml", environment={}).worker
    assert worker is not None
    assert worker.cluster is not None
    token = open_token(worker.token)
    assert token.cluster_keys() == {1}
    token.close()
    catalogue = await open_catalogue(worker.cluster.catalogue)
    there = [entry.key for entry in (await catalogue.list("")).entries]
    await catalogue.close()
    for path in (paths.CLUSTER, "members/worker-1", "users/alice", "appliances/frontend-1"):
        assert path in there


async def test_secrets_are_their_owners_alone_and_the_authority_key_is_no_file(
    tmp_path: Path,
) -> None:
    place = tmp_path / "cluster"
    await found(place)
    plain = {
        str(path.relative_to(place)): path.stat().st_mode & 0o777
        for path in place.rglob("*")
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    }
    assert plain == {
        "identities/worker-1.key": 0o600,
        "identities/frontend-1.key": 0o600,
        "users/alice.key": 0o600,
    }
    assert (place / "catalogue/catalogue.db").stat().st_mode & 0o077 == 0


async def test_a_second_cluster_in_one_catalogue_is_refused(tmp_path: Path) -> None:
    await found(tmp_path / "one")
    table = {"kind": "sqlite", "path": str(tmp_path / "one/catalogue/catalogue.db")}
    with pytest.raises(Failure, match="a cluster already"):
        await found(tmp_path / "two", MemberPlan("worker-1", catalogue=table))
    assert not (tmp_path / "two").exists()


async def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(cluster_create, "publish", fail)
    with pytest.raises(OSError, match="no space left"):
        await found(tmp_path / "cluster")
    assert list(tmp_path.iterdir()) == []


async def test_keys_that_the_catalogue_may_have_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise CatalogueUnavailable("no answer")

    monkeypatch.setattr(cluster_create, "publish", fail)
    with pytest.raises(Failure, match="may have the new cluster") as caught:
        await found(tmp_path / "cluster")
    assert "is kept" in caught.value.complaints[0].hint
    assert (tmp_path / "cluster/worker.toml").exists()


@pytest.mark.needs("softhsm2-util")
async def test_an_hsm_is_left_as_it_was_by_a_founding_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hsm = softhsm.new_token()
    pin = tmp_path / "pin"
    pin.touch(mode=0o600)
    pin.write_bytes(hsm.pin)
    table = {
        "kind": "pkcs11",
        "module": hsm.module,
        "token_label": hsm.label,
        "pin_file": str(pin),
    }
    plan = MemberPlan("worker-1", token=table)

    async def fail(*_arguments: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(cluster_create, "publish", fail)
        with pytest.raises(OSError, match="no space left"):
            await found(tmp_path / "cluster", plan)
        patch.setattr(cluster_create, "write_member", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await found(tmp_path / "cluster", plan)
    assert not (tmp_path / "cluster").exists()
    await found(tmp_path / "cluster", plan)
    worker = load(tmp_path / "cluster/worker.toml", environment={}).worker
    assert worker is not None
    token = open_token(worker.token)
    assert (token.kind, token.cluster_keys(), len(token.keys())) == ("pkcs11", frozenset({1}), 1)
    token.close()
