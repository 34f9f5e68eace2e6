"""What a command says when it cannot do its work."""

from __future__ import annotations

from typing import NamedTuple


class Complaint(NamedTuple):
    """One line of what is wrong, and one of what to do about it (may be empty)."""

    text: str
    hint: str = ""


class Failure(Exception):
    """A command failed for reasons that its user can mend; never shown with a traceback."""

    def __init__(self, text: str, hint: str = "", *more: Complaint) -> None:
        super().__init__(text)
        self.complaints = (Complaint(text, hint), *more)


def render(complaint: Complaint, severity: str = "error") -> str:
    """The lines that standard error gets; each begins with who speaks."""
    lines = [f"offload: {severity}: {complaint.text}"]
    if complaint.hint:
        lines.append(f"offload: hint: {complaint.hint}")
    return "\n".join(lines)
