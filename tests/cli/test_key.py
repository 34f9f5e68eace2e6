import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from offload.cli import main
from offload.keys.identifier import subject_key_identifier

Lines = list[str]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Lines:
    assert main.run(["key", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_json_is_a_line_for_each_key(made_state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "list", "--json", "-c", str(made_state / "worker.toml"))
    records = [json.loads(line) for line in lines]
    assert [(record["label"], record["algorithm"]) for record in records] == [
        ("localhost-p256", "p-256"),
        ("localhost-rsa", "rsa-2048"),
    ]
    for record in records:
        public = load_pem_public_key(record["public_key"].encode())
        assert subject_key_identifier(public).hex() == record["id"]  # type: ignore[arg-type]


def test_show_ends_with_the_public_key(
    made_state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(made_state / "worker.toml")
    lines = said(capsys, "show", "localhost-p256", "-c", config)
    assert lines[0] == "label      localhost-p256"
    assert lines[2] == "algorithm  p-256"
    load_pem_public_key("\n".join(lines[4:]).encode())
    identifier = lines[1].split()[1]
    assert said(capsys, "show", identifier, "-c", config) == lines
    (line,) = said(capsys, "show", identifier, "--json", "-c", config)
    assert json.loads(line)["id"] == identifier


def test_create_tells_programs_what_it_made(
    state_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(state_directory / "worker.toml")
    (line,) = said(capsys, "create", "www", "-a", "P-384", "--json", "-c", config)
    made = json.loads(line)
    assert (made["label"], made["algorithm"]) == ("www", "p-384")
    assert any(row.endswith(made["id"]) for row in said(capsys, "list", "-c", config))
