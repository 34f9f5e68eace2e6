from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from offload.cli.demo.newcomer import prepare
from offload.cli.failure import Failure
from offload.cli.member_plan import MemberPlan
from offload.cluster.authority import Authority
from offload.cluster.invitation import Invitation, Reachable

ETCD = {"kind": "etcd", "endpoints": ["http://127.0.0.1:1"]}


def invitation() -> Invitation:
    now = datetime.now(UTC)
    return Invitation(
        cluster="demo",
        authority=Authority.create("test", now).certificate_pem().decode(),
        members=(Reachable(name="worker-1", api="127.0.0.1:1"),),
        id="00" * 16,
        secret="a secret",
        member="worker-4",
        expires=now + timedelta(hours=1),
    )


def test_the_directory_is_made_elsewhere_and_waits(tmp_path: Path) -> None:
    directory = tmp_path / "worker-4"
    waiting = prepare(directory, invitation(), MemberPlan("worker-4", catalogue=ETCD), {})
    assert waiting.application.member == "worker-4"
    assert waiting.invitation.secret == "a secret"
    assert (directory / "worker.toml").exists()


def test_what_goes_wrong_there_is_said_here(tmp_path: Path) -> None:
    token = {
        "kind": "pkcs11",
        "module": str(tmp_path / "none.so"),
        "token_label": "x",
        "pin_file": str(tmp_path / "pin"),
    }
    plan = MemberPlan("worker-4", catalogue=ETCD, token=token)
    with pytest.raises(Failure, match="worker-4 could not be set up: offload: error: "):
        prepare(tmp_path / "worker-4", invitation(), plan, {"SOFTHSM2_CONF": "/nowhere"})
    assert not (tmp_path / "worker-4").exists()
