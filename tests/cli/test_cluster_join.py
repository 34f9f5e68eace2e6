import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.enrolling import Inviting, inviting

from offload.cli import cluster_join
from offload.cli.cluster_join import finish, prepare, public_key, resume
from offload.cli.failure import Failure
from offload.cli.member_plan import MemberPlan
from offload.config import ConfigurationError, load


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Inviting]:
    (tmp_path / "founder").mkdir()
    async with inviting(tmp_path / "founder") as made:
        yield made


@pytest.fixture
def plan(tmp_path: Path) -> MemberPlan:
    return MemberPlan(
        "worker-2",
        zone="b",
        api="127.0.0.1:3408",
        listen="127.0.0.1:3407",
        catalogue={"kind": "sqlite", "path": str(tmp_path / "catalogue.db")},
    )


async def test_a_newcomer_can_start_once_it_is_admitted(
    cluster: Inviting, plan: MemberPlan, tmp_path: Path
) -> None:
    place = tmp_path / "new"
    invitation = await cluster.invite()
    waiting = await asyncio.to_thread(prepare, place, invitation, plan)
    with pytest.raises(ConfigurationError, match=r"identity\.certificate"):
        load(place / "worker.toml", environment={})
    assert resume(place) == waiting

    asked = await cluster.enrolment.ask(waiting.application, invitation.secret)
    member = await cluster.enrolment.approve("worker-2", asked.id)
    assert (member.zone, member.address, member.api) == ("b", "127.0.0.1:3407", "127.0.0.1:3408")
    finish(place, waiting, member.certificate.encode())
    settings = load(place / "worker.toml", environment={})
    assert settings.worker is not None
    assert settings.worker.name == "worker-2"
    assert resume(place) is None
    assert not [path for path in place.iterdir() if path.name.startswith("enrolment")]


async def test_what_it_waits_with_is_secret(
    cluster: Inviting, plan: MemberPlan, tmp_path: Path
) -> None:
    place = tmp_path / "new"
    waiting = await asyncio.to_thread(prepare, place, await cluster.invite(), plan)
    assert (place / "enrolment.json").stat().st_mode & 0o777 == 0o600
    assert (place / "identities/worker-2.key").stat().st_mode & 0o777 == 0o600
    assert waiting.application.verified() == public_key(place, waiting)


def test_there_is_nothing_to_resume_where_nobody_waits(tmp_path: Path) -> None:
    assert resume(tmp_path / "nowhere") is None
    (tmp_path / "enrolment.json").write_text("{")
    with pytest.raises(Failure, match="damaged"):
        resume(tmp_path)


async def test_a_failure_leaves_nothing_behind(
    cluster: Inviting, plan: MemberPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(cluster_join, "write_member", fail)
    before = set(tmp_path.iterdir())
    with pytest.raises(OSError, match="no space left"):
        prepare(tmp_path / "new", await cluster.invite(), plan)
    assert set(tmp_path.iterdir()) == before
