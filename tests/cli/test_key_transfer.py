import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from support.commands import Commands

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_text("secret word\n")
    return path


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(
        KEY.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret word")
        )
    )
    return path


def test_a_key_goes_in_and_out_under_a_passphrase(
    embedded: Commands, encrypted: Path, passphrase: Path, tmp_path: Path
) -> None:
    options = ("--passphrase-file", passphrase)
    (said,) = embedded("key", "import", "www", encrypted, *options, "--exportable")
    assert said.startswith("imported p-256 key 'www@1', active, on 1 of 1 workers, id ")
    out = tmp_path / "out.pem"
    (said,) = embedded("key", "export", "www", "-o", out, *options)
    assert said == f"exported key 'www@1' to {out}"
    assert out.stat().st_mode & 0o777 == 0o600
    found = load_pem_private_key(out.read_bytes(), b"secret word")
    assert found.public_key() == KEY.public_key()
    read = ["openssl", "pkey", "-in", str(out), "-passin", f"file:{passphrase}", "-noout", "-check"]
    assert subprocess.run(read, capture_output=True, check=True).stdout == b"Key is valid\n"
    assert "exists already" in embedded.refused("key", "export", "www", "-o", out, *options)


def test_pkcs12_and_a_passphrase_from_the_terminal(
    embedded: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.p12"
    path.write_bytes(
        serialize_key_and_certificates(
            None, KEY, None, None, BestAvailableEncryption(b"secret word")
        )
    )
    monkeypatch.setattr("typer.prompt", lambda *_, **options: "secret word")
    assert embedded.json("key", "import", "www", path)["algorithm"] == "p-256"
    monkeypatch.setattr("typer.prompt", lambda *_, **options: "wrong word")
    assert "the passphrase is another" in embedded.refused("key", "import", "again", path)


def test_from_one_cluster_to_another(
    embedded: Commands, key_user: Commands, tmp_path: Path
) -> None:
    # Both have the same token, and know nothing of each other.
    transport, moved = tmp_path / "transport.pem", tmp_path / "moved"
    key_user("key", "transport", "-o", transport)
    embedded("key", "create", "www", "--exportable")
    embedded("key", "export", "www", "-o", moved, "--recipient", transport)
    assert moved.stat().st_mode & 0o777 == 0o600
    here = embedded.json("key", "show", "www")
    assert key_user.json("key", "import", "www", "--enclosed", moved)["ski"] == here["ski"]


def test_a_key_that_may_not_leave_stays(
    embedded: Commands, passphrase: Path, tmp_path: Path
) -> None:
    embedded("key", "create", "www")
    out = tmp_path / "out.pem"
    errors = embedded.refused("key", "export", "www", "-o", out, "--passphrase-file", passphrase)
    assert "export" in errors
    assert not out.exists()


def test_what_is_approved_is_the_same_the_second_time(
    embedded: Commands,
    encrypted: Path,
    passphrase: Path,
    cluster: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    olga = embedded.with_options(
        "-c", str(cluster / "worker.toml"), "--client", str(cluster / "client.toml")
    )
    embedded("cluster", "policy", "--approvals", "key.import=1", "--approvals", "key.export=1")

    def approved() -> str:
        approval = str(olga.json("approval", "list")["id"])
        olga("approval", "sign", approval, "--yes")
        return approval

    options = ("--passphrase-file", passphrase)
    errors = embedded.refused("key", "import", "www", encrypted, *options, "--exportable")
    (kept,) = tmp_path.glob("www-*.enclosed")
    assert f"'--enclosed {kept.name} --approval " in errors
    again = ("--enclosed", kept, "--exportable", "--approval", approved())
    assert embedded.json("key", "import", "www", *again)["state"] == "active"

    export = ("key", "export", "www", "-o", tmp_path / "out.pem", *options)
    assert "key.export needs one officer" in embedded.refused(*export)
    assert b"ENCRYPTED" in (tmp_path / "out.pem.recipient").read_bytes()
    embedded(*export, "--approval", approved())
    found = load_pem_private_key((tmp_path / "out.pem").read_bytes(), b"secret word")
    assert found.public_key() == KEY.public_key()
    assert not (tmp_path / "out.pem.recipient").exists()


def test_an_enclosed_key_of_another_member_is_not_sent(embedded: Commands, tmp_path: Path) -> None:
    path = tmp_path / "other.enclosed"
    path.write_text(json.dumps({"member": "worker-9", "public_key": "x", "enclosed": "x"}))
    errors = embedded.refused("key", "import", "www", "--enclosed", path)
    assert "is enclosed to 'worker-9', and 'worker-1' was asked" in errors


def test_one_source_and_one_way_out(embedded: Commands, tmp_path: Path) -> None:
    embedded.refused("key", "import", "www", code=2)
    embedded.refused("key", "export", "www", "-o", tmp_path / "out", code=2)
