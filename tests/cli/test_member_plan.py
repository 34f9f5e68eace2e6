from pathlib import Path

import pytest

from offload.cli.failure import Failure
from offload.cli.member_plan import (
    FrontendPlan,
    MemberPlan,
    failures,
    member_token,
    write_frontend,
    write_member,
)
from offload.cluster.failures import Taken
from offload.config import EtcdSettings, SqliteSettings, load

ETCD = {"kind": "etcd", "endpoints": ["http://127.0.0.1:2379"], "prefix": "/x/"}


def test_others_are_told_the_advertised_addresses() -> None:
    plan = MemberPlan("worker-1", listen="0.0.0.0:1", advertise="10.0.0.1:1", api="10.0.0.1:2")
    assert plan.standing().address == "10.0.0.1:1"
    assert plan.standing().api == "10.0.0.1:2"


@pytest.mark.parametrize(
    "plan",
    [
        MemberPlan("worker-1", listen="0.0.0.0:1"),
        MemberPlan("worker-1", advertise_api="nothing"),
        MemberPlan("worker-1", capacity=0),
        MemberPlan("worker-1", zone="a b"),
    ],
)
def test_what_others_cannot_use_is_refused(plan: MemberPlan) -> None:
    with pytest.raises(Failure) as caught:
        plan.standing()
    assert caught.value.complaints[0].hint


def test_the_catalogue_is_below_the_directory_or_elsewhere(tmp_path: Path) -> None:
    own = MemberPlan("worker-1").catalogue_settings(tmp_path)
    assert own == SqliteSettings(path=tmp_path / "catalogue/catalogue.db")
    etcd = MemberPlan("worker-1", catalogue=ETCD).catalogue_settings(tmp_path)
    assert isinstance(etcd, EtcdSettings)
    with pytest.raises(Failure, match="trust is missing"):
        MemberPlan(
            "worker-1", catalogue={**ETCD, "endpoints": ["https://127.0.0.1:1"]}
        ).catalogue_settings(tmp_path)


@pytest.mark.parametrize("catalogue", [None, ETCD])
def test_the_configurations_are_good(tmp_path: Path, catalogue: dict[str, object] | None) -> None:
    plan = MemberPlan("worker-1", zone="a", capacity=2.0, advertise="127.0.0.1:9")
    if catalogue:
        plan = MemberPlan("worker-1", zone="a", catalogue=catalogue)
    write_member(tmp_path, plan, "a test")
    write_frontend(tmp_path, plan, FrontendPlan("frontend-1"), "a test")
    worker = load(tmp_path / "worker.toml", environment={}, files=False).worker
    front = load(tmp_path / "frontend.toml", environment={}, files=False).frontend
    assert worker is not None
    assert worker.cluster is not None
    assert front is not None
    assert front.cluster is not None
    assert worker.cluster.catalogue == front.cluster.catalogue == plan.catalogue_settings(tmp_path)
    assert worker.cluster.zone == front.cluster.zone == "a"
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_front_end_may_have_a_zone_and_a_catalogue_of_its_own(tmp_path: Path) -> None:
    frontend = FrontendPlan("frontend-2", zone="b", catalogue=ETCD, proxy_protocol=True)
    write_frontend(tmp_path, MemberPlan("worker-1", zone="a"), frontend, "a test")
    front = load(tmp_path / "frontend.toml", environment={}, files=False).frontend
    assert front is not None
    assert front.cluster is not None
    assert front.cluster.zone == "b"
    assert isinstance(front.cluster.catalogue, EtcdSettings)
    assert front.sites[0].proxy_protocol


def test_a_new_token_is_made_for_the_software_kind(tmp_path: Path) -> None:
    with member_token(tmp_path, MemberPlan("worker-1")) as token:
        assert token.kind == "software"
        assert token.cluster_keys() == frozenset()
    assert (tmp_path / "token.passphrase").stat().st_mode & 0o777 == 0o600


def test_an_hsm_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1234\n")
    (tmp_path / "pin").chmod(0o600)
    table = {
        "kind": "pkcs11",
        "module": str(tmp_path / "none.so"),
        "token_label": "x",
        "pin_file": str(tmp_path / "pin"),
    }
    plan = MemberPlan("worker-1", token=table)
    with pytest.raises(Failure), failures(), member_token(tmp_path, plan):
        pass
    bad = MemberPlan("worker-1", token={"kind": "pkcs11"})
    with pytest.raises(Failure, match="names no token"), member_token(tmp_path, bad):
        pass


def test_refusals_become_failures() -> None:
    with pytest.raises(Failure, match="taken"), failures():
        raise Taken("the name is taken")
