from pathlib import Path

import pytest

from offload.config import ConfigurationError, Problem


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "is wrong", "mend it"), "a.b: is wrong; mend it"),
        (Problem("", "is wrong", "mend it"), "is wrong; mend it"),
        (Problem("a.b", "is wrong", ""), "a.b: is wrong"),
    ],
)
def test_problems_as_text(problem: Problem, text: str) -> None:
    assert str(problem) == text
    assert str(ConfigurationError(Path("x.toml"), [problem])) == f"x.toml: {text}"
