"""What came of a verification."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """What is wrong and where: `line` counts from 1 in `file`; 0 is the file as a whole. `seq` is
    the record that should stand there.
    """

    file: str
    line: int
    seq: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: record {self.seq}: {self.text}"


@dataclass(slots=True)
class Report:
    """Of a worker's chain, from its record `first` to `last`.

    bad: the first bad record, None if there is none; checkpoints: the last record that each
    member's newest checkpoint covers, by the member's name.
    """

    worker: str = ""
    cluster: str = ""
    first: int = 0
    last: int = 0
    last_hash: str = ""
    bad: Finding | None = None
    warnings: list[Finding] = field(default_factory=list)
    checkpoints: dict[str, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many records are in order."""
        return self.last - self.first + 1 if self.last else 0

    @property
    def covered(self) -> int:
        """The last record that a checkpoint covers; a cut after it would not be found."""
        return max(self.checkpoints.values(), default=0)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            **asdict(self),
            "bad": self.bad._asdict() if self.bad else None,
            "warnings": [one._asdict() for one in self.warnings],
            "records": self.records,
            "covered": self.covered,
            "whole": self.bad is None,
        }
