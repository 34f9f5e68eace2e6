import shutil
from pathlib import Path

from support.commands import Commands


def test_a_policy_is_changed_in_part(embedded: Commands) -> None:
    lines = embedded("cluster", "policy", "--copies", 3, "--destroy-wait-seconds", 60)
    assert "copies        3" in lines
    assert "destroy wait  60 s" in lines
    one = embedded.json("cluster", "policy", "--approvals", "key.destroy=1")
    assert (one["copies"], one["approvals"]) == (3, {"key.destroy": 1})


def test_approvals_are_merged(embedded: Commands, cluster: Path) -> None:
    embedded("cluster", "policy", "--approvals", "key.destroy=1", "--approvals", "key.export=1")
    olga = embedded.with_options(
        "-c", str(cluster / "worker.toml"), "--client", str(cluster / "client.toml")
    )
    change = ("cluster", "policy", "--approvals", "key.destroy=0")
    assert "cluster.policy needs one officer" in embedded.refused(*change)
    approval = embedded.json("approval", "list")["id"]
    olga("approval", "sign", approval, "--yes")
    changed = embedded.json(*change, "--approval", approval)
    assert changed["approvals"] == {"key.export": 1}


def test_usage(embedded: Commands) -> None:
    embedded.refused("cluster", "policy", code=2)
    errors = embedded.refused("cluster", "policy", "--approvals", "key.destroy", code=2)
    assert "'key.destroy' is not ACT=N" in errors
    errors = embedded.refused("cluster", "policy", "--approvals", "key.destroy=9")
    assert "cannot need 9 officers while there are 1" in errors


def test_the_cluster_key_is_rolled(embedded: Commands) -> None:
    assert embedded("cluster", "roll")[0].startswith("cluster key 2; ")
    assert embedded.json("cluster", "show")["cluster_key"] == 2


def test_a_backup_is_taken_back(embedded: Commands, cluster: Path, tmp_path: Path) -> None:
    embedded("key", "create", "www")
    ski = embedded.json("key", "show", "www")["ski"]
    path = tmp_path / "backup"
    (said,) = embedded("cluster", "backup", "-o", path)
    assert said.startswith(f"wrote {path}: ")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "is not empty" in embedded.refused("cluster", "restore", path)

    shutil.rmtree(cluster / "catalogue")
    (cluster / "catalogue").mkdir(0o700)
    altered = tmp_path / "altered"
    altered.write_bytes(path.read_bytes().replace(b"www", b"wwx"))
    assert "the backup was altered" in embedded.refused("cluster", "restore", altered)
    assert list((cluster / "catalogue").iterdir()) == []
    (said,) = embedded("cluster", "restore", path)
    assert said.endswith("; now start the workers")
    assert embedded.json("key", "show", "www")["ski"] == ski


def test_a_worker_alone_has_nothing_to_restore(embedded: Commands, made_state: Path) -> None:
    alone = embedded.with_options("-c", str(made_state / "worker.toml"))
    assert "is in no cluster" in alone.refused("cluster", "restore", made_state / "worker.toml")
