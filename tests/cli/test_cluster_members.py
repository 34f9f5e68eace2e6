import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from support.chain import until
from support.commands import Commands
from support.members import Newcomer, make_token

from offload.cli.enrolling import enrol
from offload.cluster.fingerprint import grouped
from offload.cluster.invitation import Invitation


def test_members_are_listed(officer: Commands) -> None:
    head, row = officer("cluster", "members")
    assert head.split()[:4] == ["NAME", "STATE", "ALIVE", "ZONE"]
    name, state, _alive, zone, capacity, *_ = row.split()
    assert (name, state, zone, capacity) == ("worker-1", "present", "a", "1")
    assert officer.json("cluster", "members")["token"] == "software"


def test_an_invitation_is_all_that_standard_output_gets(officer: Commands, tmp_path: Path) -> None:
    (text,) = officer("cluster", "invite", "worker-2", "--seconds", 60)
    assert Invitation.decode(text).member == "worker-2"
    path = tmp_path / "invitation"
    assert officer("cluster", "invite", "worker-3", "-o", path) == []
    assert Invitation.decode(path.read_text()).member == "worker-3"
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_did_not_ask_is_not_admitted(officer: Commands) -> None:
    errors = officer.refused("cluster", "approve", "worker-9", "b4aa", "1331")
    assert errors.startswith("offload: error: ")
    assert "worker-9" in errors
    assert "worker-9" in officer.refused("cluster", "reject", "worker-9")


def test_the_last_one_stays(officer: Commands) -> None:
    assert officer.refused("cluster", "remove", "worker-1").startswith("offload: error: ")


def test_whose_role_does_not_cover_it(key_user: Commands) -> None:
    errors = key_user.refused("cluster", "invite", "worker-2")
    assert "the role key-user does not cover member.invite" in errors


def test_a_worker_is_admitted_and_removed(officer: Commands, tmp_path: Path) -> None:
    (text,) = officer("cluster", "invite", "worker-2")
    invitation = Invitation.decode(text)
    newcomer = Newcomer(ec.generate_private_key(ec.SECP256R1()), make_token(tmp_path / "token"))
    application = newcomer.application(invitation)
    public = newcomer.key.public_key()

    def ask() -> bytes:
        asking = enrol(invitation, application, public, say=lambda _: None, pause=0.05)
        return asyncio.run(asyncio.wait_for(asking, 30))

    def pending() -> bool:
        return any("'worker-2' waits" in line for line in officer("cluster", "members"))

    with ThreadPoolExecutor() as threads:
        admitted = threads.submit(ask)
        until(pending, "worker-2 waiting")
        fingerprint = grouped(application.fingerprint).split()
        wrong = officer.refused("cluster", "approve", "worker-2", *reversed(fingerprint))
        assert wrong.startswith("offload: error: ")
        assert officer("cluster", "approve", "worker-2", *fingerprint) == ["admitted 'worker-2'"]
        assert b"BEGIN CERTIFICATE" in admitted.result()
    newcomer.token.close()
    states = {one["name"]: one["state"] for one in officer.json("cluster", "members")}
    assert states == {"worker-1": "present", "worker-2": "present"}
    (said,) = officer("cluster", "remove", "worker-2")
    assert said == "removed 'worker-2'; stop its worker, and destroy its token"
