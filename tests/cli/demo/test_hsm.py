import subprocess
import sys
from pathlib import Path

import pytest

from offload.cli.demo import hsm
from offload.cli.failure import Failure

OPEN = """
import sys
from pathlib import Path
from offload.cli.member_plan import MemberPlan, member_token
table = dict(zip(("kind", "module", "token_label", "pin_file"), sys.argv[1:], strict=True))
with member_token(Path("."), MemberPlan("worker-1", token=table)) as token:
    print(token.kind)
"""


@pytest.mark.needs("softhsm2-util")
def test_a_worker_can_open_the_new_token(tmp_path: Path) -> None:
    made = hsm.make(tmp_path / "hsm")
    assert (tmp_path / "hsm" / "pin").stat().st_mode & 0o777 == 0o600
    # The library reads its configuration once in a process.
    opened = subprocess.run(
        [sys.executable, "-c", OPEN, *map(str, made.table.values())],
        env=dict(made.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    assert opened.stdout == "pkcs11\n"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hsm, "_PLACES", (str(tmp_path),))
    assert hsm.missing() == "SoftHSM2 is not installed (apt-get install softhsm2)"
    with pytest.raises(Failure, match="SoftHSM2 is not installed"):
        hsm.make(tmp_path / "hsm")
    monkeypatch.setattr(hsm, "find_spec", lambda _name: None)
    assert "pip install" in hsm.missing()


def test_a_token_that_cannot_be_made_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "softhsm2-util"
    program.write_text("#!/bin/sh\necho no slot >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(hsm, "_module", lambda: Path("/some/library.so"))
    with pytest.raises(Failure, match="made no token: no slot"):
        hsm.make(tmp_path / "hsm")
