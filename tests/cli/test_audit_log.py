from pathlib import Path

import pytest
from support.commands import Commands

from offload.cli import main


def test_records_are_shown_page_by_page(embedded: Commands) -> None:
    embedded("key", "create", "www")
    records = embedded.json("audit", "show")
    acts = [one["fields"].get("act") for one in records]
    assert acts.count("key.create") == 2
    last = records[-1]["seq"]
    (line,) = embedded("audit", "show", "--limit", 1)
    assert line.startswith(f"{last} ")
    assert "act=key.create target=www" in line
    shown = embedded.json("audit", "show", "--before", last, "--limit", 1)
    assert shown["seq"] == last - 1
    assert embedded("audit", "show", "--after", last) == []
    embedded.refused("audit", "show", "--after", 1, "--before", 2, code=2)


def test_an_export_is_verified_without_a_server(
    embedded: Commands, cluster: Path, tmp_path: Path
) -> None:
    embedded("key", "create", "www")
    path = tmp_path / "log"
    (said,) = embedded("audit", "export", "-o", path)
    assert said == f"exported; verify with: offload audit verify {path} --trust AUTHORITY"
    assert path.stat().st_mode & 0o777 == 0o600
    offline = embedded.with_options("--trust", str(cluster / "authority.pem"))
    assert "are good" in offline("audit", "verify", path)[0]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"key.create", b"key.delete"))
    offline.refused("audit", "verify", path)


def test_a_damaged_log_is_found(
    embedded: Commands, cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embedded("key", "create", "www")
    assert embedded.json("audit", "chains")["state"] == "verified"
    (segment,) = (path for path in (cluster / "state/audit").iterdir() if path.suffix)
    segment.write_bytes(segment.read_bytes().replace(b"key-user", b"officer_", 1))
    assert main.run(["audit", "chains", "-c", str(cluster / "worker.toml")]) == 1
    output, errors = capsys.readouterr()
    assert output.splitlines()[1].split()[:2] == ["worker-1", "bad"]
    assert errors.startswith("offload: error: the audit log of worker-1 is not as it was written")
