"""The command itself: a state directory, and what happens in it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer


def demo(
    once: Annotated[bool, typer.Option("--once", help="Verify that it works, then end.")] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="A cluster: three etcd, four workers, two front-ends."),
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", metavar="DIR", help="Keep the state there; must be empty."),
    ] = None,
) -> int:
    """Start workers, front-ends and a website here, and show requests through them."""
    if cluster:
        from offload.cli.demo.cluster_story import tell_cluster as tell
    else:
        from offload.cli.demo.story import tell

    with _terminable(), _place(directory) as place:
        try:
            tell(place, once=once)
        except KeyboardInterrupt:
            # Ctrl-C is how the demonstration ends, but a verification must come to its end.
            return 130 if once else 0
    return 0


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="offload-demo-") as temporary:
        yield Path(temporary, "state")


@contextmanager
def _terminable() -> Iterator[None]:
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
