import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from support.commands import Commands

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


def test_a_key_of_a_cluster(embedded: Commands) -> None:
    (line,) = embedded("key", "create", "www", "--site", "*.example.org", "--audit-signatures")
    assert line.startswith("created p-256 key 'www@1', active, on 1 of 1 workers, id ")
    lines = embedded("key", "show", "www")
    assert "key            www@1" in lines
    assert "sites          *.example.org" in lines
    assert "audit          each signature" in lines
    assert any(line.startswith("  worker-1     held, after ") for line in lines)
    load_pem_public_key("\n".join(lines[lines.index("-----BEGIN PUBLIC KEY-----") :]).encode())
    errors = embedded.refused("key", "create", "www")
    assert errors.startswith("offload: error: there is a key 'www': www@1 is active;")


def test_a_policy_is_changed_in_part(embedded: Commands) -> None:
    embedded("key", "create", "www", "--site", "a.example", "--frontend", "one")
    changed = embedded.json("key", "policy", "www", "--frontend", "two", "--audit-signatures")
    assert (changed["sites"], changed["frontends"]) == (["a.example"], ["two"])
    assert changed["audit_signatures"]
    changed = embedded.json("key", "policy", "www", "--any-site", "--no-frontend")
    assert (changed["sites"], changed["frontends"]) == ([], [])
    assert changed["audit_signatures"]
    embedded.refused("key", "policy", "www", code=2)
    embedded.refused("key", "policy", "www", "--any-site", "--site", "a", code=2)


def test_lists_are_filtered_and_paged(key_user: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("a", "b", "c"):
        key_user("key", "create", f"list-{label}", "-a", "p-384", "--site", f"{label}.example")
    key_user("key", "suspend", "list-b")

    def listed(*options: object) -> list[str]:
        lines = key_user("key", "list", "--label", "list-*", "--json", *options)
        return [json.loads(line)["label"] for line in lines]

    monkeypatch.setattr("offload.cli.key._PAGE", 2)
    assert listed() == ["list-a", "list-b", "list-c"]
    assert listed("--state", "suspended") == ["list-b"]
    assert listed("--site", "c.example") == ["list-c"]
    assert listed("-a", "rsa-2048") == []
    assert listed("--limit", 2) == ["list-a", "list-b"]
    assert listed("--limit", 2, "--after", "list-b@1") == ["list-c"]
    head, first, *_ = key_user("key", "list", "--label", "list-*")
    assert head.split() == ["KEY", "ALGORITHM", "STATE", "COPIES", "SIGNATURES", "CREATED", "ID"]
    assert first.split()[:6] == ["list-a@1", "p-384", "active", "1", "of", "1"]


def test_usage(embedded: Commands) -> None:
    assert "choose from pre-active, " in embedded.refused("key", "list", "--state", "x", code=2)
    for text in ("soon", "2030-01-01T00:00"):
        create = ("key", "create", "www", "--activate-at", text)
        assert f"'{text}' is no time" in embedded.refused(*create, code=2)
