"""What serving processes have reached, and what follows for the front-end as a whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from offload.catalogue.records import FrontendRecord, Record
from offload.frontend.directory.board import Board


class Report(Record):
    """What one serving process has reached.

    serving: label to SKI of what handshakes are served with, '' while there is no certificate;
    staged: label to SKI of a canary with which a handshake was made; failed: SKI of a canary to
    why one failed.
    """

    serving: dict[str, str]
    staged: dict[str, str]
    failed: dict[str, str]


def merged(name: str, labels: Collection[str], reports: Sequence[Report]) -> FrontendRecord:
    """What all processes have reached: the slowest counts. `labels` are those of all sites."""
    staged = {label: _common([one.staged for one in reports], label) for label in labels}
    return FrontendRecord(
        name=name,
        serving={label: _common([one.serving for one in reports], label) for label in labels},
        staged={label: ski for label, ski in staged.items() if ski},
        canary_errors={ski: reason for one in reports for ski, reason in one.failed.items()},
    )


def reports(board: Board) -> list[Report]:
    """What the processes have written on the board."""
    return [Report.model_validate_json(row) for row in board.read()]


def unserved(board: Board) -> list[str]:
    """The labels that no process has a certificate for."""
    found = reports(board)
    labels = {label for one in found for label in one.serving}
    return sorted(label for label in labels if not any(one.serving.get(label) for one in found))


def _common(reached: Sequence[dict[str, str]], label: str) -> str:
    """What all agree on; '' where they do not, or there is nobody."""
    values = {each.get(label, "") for each in reached}
    return values.pop() if len(values) == 1 else ""
