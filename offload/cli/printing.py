"""What commands print: tables and fields for people, JSON lines for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import BaseModel

# Wider than any row: an identifier cut off at the terminal's edge could not be copied.
_WIDTH = 240
_NOTHING = "-"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns with their names above."""
    from rich.console import Console
    from rich.table import Table

    made = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        made.add_row(*(_text(cell) for cell in row))
    Console(width=_WIDTH, markup=False, highlight=False).print(made)


def fields(pairs: Iterable[tuple[str, object]], *, err: bool = False) -> None:
    """One below the other; what is None is left out. err: on standard error."""
    shown = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {_text(value)}", err=err)


def views(answers: Iterable[BaseModel]) -> None:
    """A line of JSON for each."""
    for answer in answers:
        typer.echo(answer.model_dump_json())


def moment(time: datetime | None) -> str | None:
    """A point in time, to the second."""
    return None if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or _NOTHING
    return str(value) or _NOTHING
