"""What a key may be called."""

import re

from offload.token.base import TokenError


def check_label(label: str) -> None:
    """Raise TokenError for a label that could not be told from something else in a grant."""
    if not label or not label.isprintable():
        raise TokenError("a key's label needs printable characters: choose another one")
    if label == "*" or re.fullmatch("[0-9a-fA-F]{40}", label):
        raise TokenError(f"{label!r} means something else where keys are granted: choose another")
