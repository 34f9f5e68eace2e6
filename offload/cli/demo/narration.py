"""How the demonstrations tell what happens: titles, and facts below them."""

from __future__ import annotations

import typer

from offload.cli.demo.memory import Scan


def title(text: str) -> None:
    """What comes next."""
    typer.echo(f"\n{text}")


def fact(name: str, text: str) -> None:
    """One line of it."""
    typer.echo(f"  {name:<10} {text}")


def verdict(result: Scan, text: str) -> str:
    """`text`, if it could be found out."""
    if result.size is None:
        return "not permitted: it forbids that to all but root"
    return f"{text} ({result.size / 1e6:.0f} MB searched)"
