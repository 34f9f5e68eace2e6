"""The directory through which the processes of one command share their metrics.

prometheus-client decides at its own import whether values live in mapped files, so the directory
must be named in the environment before `metrics` is first imported; a command calls `prepare`
first and imports the serving modules after.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


class MetricsDirectoryError(Exception):
    """The directory cannot be used; the text has the path and the remedy."""


def prepare(parent: Path | None = None) -> Path:
    """Create an empty directory (mode 0700) below `parent`, by default the system's temporary one.

    The command that prepared it removes it with `remove` when its last process has ended.
    Raises MetricsDirectoryError if it cannot be made, RuntimeError if called too late.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prepare the metrics directory before importing the metrics")
    try:
        directory = Path(tempfile.mkdtemp(prefix="offload-metrics-", dir=parent))
    except OSError as error:
        raise MetricsDirectoryError(
            f"cannot create a metrics directory in {parent or tempfile.gettempdir()}: "
            f"{error.strerror}; make it writable or set TMPDIR"
        ) from error
    os.environ[VARIABLE] = str(directory)
    return directory


def directory() -> Path | None:
    """Return the directory in use, or None when this process keeps its metrics to itself."""
    value = os.environ.get(VARIABLE)
    return Path(value) if value else None


def mark_dead(pid: int) -> None:
    """Drop the gauges of the ended process `pid`; its counters stay in the sums."""
    where = directory()
    if where is None:
        return
    for path in where.glob(f"gauge_live*_{pid}.db"):
        path.unlink(missing_ok=True)


def remove(where: Path) -> None:
    """Remove a prepared directory; for the command's last process."""
    shutil.rmtree(where, ignore_errors=True)
    if os.environ.get(VARIABLE) == str(where):
        del os.environ[VARIABLE]
