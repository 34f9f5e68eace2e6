from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from offload.audit.log import AuditLog

OpenLog = Callable[..., AuditLog]


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_log(tmp_path: Path, clock: Clock) -> Iterator[OpenLog]:
    """Opens the log of a worker, by default w1's; closed at the end."""
    opened: list[AuditLog] = []

    def _open(worker: str = "w1", segment_bytes: int = 1 << 20) -> AuditLog:
        log = AuditLog(
            tmp_path / worker, worker, clock, cluster="example", segment_bytes=segment_bytes
        )
        opened.append(log)
        return log

    yield _open
    for log in opened:
        log.close()


@pytest.fixture
def log(open_log: OpenLog) -> AuditLog:
    return open_log()
