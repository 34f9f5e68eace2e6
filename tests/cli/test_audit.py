import json
from pathlib import Path

import pytest
from support.audit import append_checkpoint, exported
from support.cluster import NOW, authority

from offload.audit.log import AuditLog
from offload.cli import main


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    path.write_bytes(authority().certificate_pem())
    return path


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit", "w1", lambda: NOW, cluster="example")
    log.append("management", {"act": "key.create"}, {"act": "key.suspend"})
    append_checkpoint(log, lambda: NOW)
    log.close()
    return log


@pytest.fixture
def export(log: AuditLog, tmp_path: Path) -> Path:
    path = tmp_path / "export.jsonl"
    path.write_bytes(exported(log, lambda: NOW, "w2"))
    log.close()
    return path


def _verify(*arguments: Path | str) -> int:
    return main.run(["audit", "verify", *map(str, arguments)])


def test_a_good_export_says_who_signed_it(
    export: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _verify(export, "--trust", trust) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "worker w1 of cluster example: records 1 to 4 are good",
        "signed by w1 up to record 4",
        "signed by w2 up to record 4",
    ]
    assert said.err == ""


def test_a_bad_record_is_named(
    export: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export.write_text(export.read_text().replace("key.suspend", "key.destroy"))
    assert _verify(export, "--trust", trust) == 1
    first, hint = capsys.readouterr().err.splitlines()
    assert first.startswith(f"offload: error: {export}:4: record 3: the record was changed")
    assert hint.startswith("offload: hint: 2 records before it are in order")


def test_json_says_the_same_with_the_same_exit_code(
    export: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _verify(export, "--trust", trust, "--json") == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["whole"], good["last"], good["checkpoints"]) == (True, 4, {"w1": 4, "w2": 4})
    export.write_text(export.read_text().replace("key.suspend", "key.destroy"))
    assert _verify(export, "--trust", trust, "--json") == 1
    bad = json.loads(capsys.readouterr().out)
    assert (bad["whole"], bad["bad"]["seq"], bad["bad"]["line"]) == (False, 3, 4)


def test_a_directory_is_verified_with_a_word_on_what_that_does_not_prove(
    log: AuditLog, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _verify(log.directory, "--trust", trust) == 0
    said = capsys.readouterr()
    assert "records 1 to 4 are good" in said.out
    assert "no checkpoint covers the records after 3" in said.err
    assert "no member but w1" in said.err


def test_what_is_asked_of_the_log_is_checked(
    log: AuditLog, export: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _verify(export, "--trust", trust, "--worker", "w2") == 1
    assert "it is of worker 'w1'" in capsys.readouterr().err
    assert _verify(export, "--trust", trust, "--from", "2") == 1
    assert "stands where 2 should" in capsys.readouterr().err


def test_a_clock_that_went_back_is_a_warning(
    tmp_path: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([NOW.replace(hour=5), NOW])
    log = AuditLog(tmp_path / "audit", "w1", lambda: next(times), cluster="example")
    log.append("system", {})
    log.append("system", {})
    log.close()
    assert _verify(log.directory, "--trust", trust) == 0
    assert "offload: warning: " in (said := capsys.readouterr().err)
    assert "the clock went back" in said


def test_a_trust_file_that_is_none_is_said(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _verify(export, "--trust", export) == 1
    assert "is no certificate" in capsys.readouterr().err
    assert _verify(export, "--trust", tmp_path / "none") == 1
    assert "no such file" in capsys.readouterr().err
