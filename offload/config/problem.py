"""What is wrong with a configuration, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong with a configuration: which key, what is wrong, what to do about it."""

    key: str
    text: str
    remedy: str

    def __str__(self) -> str:
        head = f"{self.key}: {self.text}" if self.key else self.text
        return f"{head}; {self.remedy}" if self.remedy else head


class ConfigurationError(Exception):
    """A configuration that cannot be used; `problems` has at least one entry."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))
