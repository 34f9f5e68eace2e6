from datetime import UTC, datetime
from pathlib import Path

from offload.audit.log import AuditLog
from offload.worker.recording import Recording


def test_the_log_is_opened_at_its_first_use(tmp_path: Path) -> None:
    made: list[AuditLog] = []

    def make() -> AuditLog:
        log = AuditLog(tmp_path / "audit", "worker-1", lambda: datetime.now(UTC), cluster="c")
        made.append(log)
        return log

    recording = Recording(make)
    recording.close()
    assert made == []
    assert not (tmp_path / "audit").exists()
    recording.append("signature", {"site": "www.example.org"})
    recording.check()
    assert len(made) == 1
    assert made[0].head().seq == 2
    recording.close()
