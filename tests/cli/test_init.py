from pathlib import Path

import pytest

from offload.cli import main


def test_the_commands_it_prints_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "state"
    assert main.run(["init", str(directory)]) == 0
    printed = capsys.readouterr().out
    assert f"offload worker -c {directory}/worker.toml" in printed
    assert f"offload frontend -c {directory}/frontend.toml" in printed
    assert f"curl --cacert {directory}/certificates/authority.pem" in printed
    for name in ("worker.toml", "frontend.toml", "certificates/authority.pem"):
        assert (directory / name).is_file()
