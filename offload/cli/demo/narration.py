"""How the demonstrations tell what happens: titles, and facts below them."""

from __future__ import annotations

import typer


def title(text: str) -> None:
    """What comes next."""
    typer.echo(f"\n{text}")


def fact(name: str, text: str) -> None:
    """One line of it."""
    typer.echo(f"  {name:<10} {text}")
