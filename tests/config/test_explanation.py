from pathlib import Path

from support.configuration import FRONTEND, problems


def test_all_that_is_wrong_is_said_at_once(file: Path) -> None:
    text = FRONTEND.replace("127.0.0.1:8443", "nowhere").replace("tcp://", "http://")
    assert len(problems(file, text)) == 2
