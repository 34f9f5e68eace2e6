import io
from pathlib import Path

import pytest
from support.commands import Commands

from offload.cli import approval as module
from offload.cli.failure import Failure
from offload.cluster.views import ApprovalView


@pytest.fixture
def officers(embedded: Commands, cluster: Path, tmp_path: Path) -> list[Commands]:
    """Two, in a cluster in which two must approve a destruction; and a key 'www'."""
    embedded("user", "create", "otto", "--role", "officer", "-d", tmp_path / "otto")
    embedded("cluster", "policy", "--approvals", "key.destroy=2")
    embedded("key", "create", "www")
    config = ("-c", str(cluster / "worker.toml"), "--client")
    files = (cluster / "client.toml", tmp_path / "otto/client.toml")
    return [embedded.with_options(*config, str(file)) for file in files]


def test_two_officers_approve_an_act(
    embedded: Commands, officers: list[Commands], monkeypatch: pytest.MonkeyPatch
) -> None:
    olga, otto = officers
    destroy = ("key", "destroy", "www", "--wait-seconds", 0)
    errors = embedded.refused(*destroy)
    assert errors.startswith("offload: error: key.destroy needs 2 officers: have approval ")
    found = embedded.json("approval", "list")
    approval = found["id"]
    assert f"offload approval sign {approval}" in errors
    assert f"--approval {approval}" in errors

    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **_: asked.append(text))
    assert olga("approval", "sign", approval) == ["signed key.destroy: 1 of 2 officers have"]
    assert asked == ["Sign it?"]
    assert "1 of 2 officers have signed" in embedded.refused(*destroy, "--approval", approval)
    lines = embedded("approval", "show", approval)
    assert '  key           "www"' in lines
    assert "signed by       olga" in lines
    assert otto.json("approval", "sign", approval, "--yes")["signed_by"] == ["olga", "otto"]
    assert embedded.json(*destroy, "--approval", approval)["state"] == "destroyed"
    assert "there is no approval" in embedded.refused(*destroy, "--approval", approval)


def test_an_officer_rejects_an_act(embedded: Commands, officers: list[Commands]) -> None:
    embedded.refused("key", "destroy", "www")
    (_, row) = embedded("approval", "list")
    approval = row.split()[0]
    assert row.split()[1:6] == ["key.destroy", row.split()[2], "0", "of", "2"]
    assert officers[0]("approval", "reject", approval) == [f"rejected {approval}"]
    assert embedded("approval", "list", "--json") == []


def test_who_does_not_say_yes_has_not_signed(
    embedded: Commands, officers: list[Commands], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.refused("key", "destroy", "www")
    approval = embedded.json("approval", "list")["id"]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    errors = officers[0].refused("approval", "sign", approval)
    assert '  key           "www"' in errors
    assert embedded.json("approval", "show", approval)["signed_by"] == []


def test_only_users_sign(embedded: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.cli.caller.find", lambda _: None)
    assert "name the user's client file" in embedded.refused("approval", "sign", "a" * 32)


def test_nobody_signs_what_a_server_made_up(embedded: Commands, officers: list[Commands]) -> None:
    embedded.refused("key", "destroy", "www")
    view = ApprovalView.model_validate(embedded.json("approval", "list"))
    assert module._statement(view) == view.statement.encode()
    assert "act             key.destroy" in officers[0]("approval", "show", view.id)
    for field, value in (
        ("act", view.act.replace("www", "api")),
        ("requested_by", "olga"),
        ("statement", view.statement.replace(view.digest, "0" * 64)),
    ):
        with pytest.raises(Failure, match="is not for the act that is shown"):
            module._statement(view.model_copy(update={field: value}))


def test_over_rest(officer: Commands, key_user: Commands) -> None:
    officer("cluster", "policy", "--approvals", "key.destroy=1")
    key_user("key", "create", "www")
    destroy = ("key", "destroy", "www", "--wait-seconds", 0)
    approval = key_user.refused(*destroy).rpartition("--approval ")[2].rstrip("'\n")
    assert officer.json("approval", "sign", approval, "--yes")["signed_by"] == ["olga"]
    assert key_user.json(*destroy, "--approval", approval)["state"] == "destroyed"
