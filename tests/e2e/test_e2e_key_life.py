"""The whole life of a key with the real command, and no server: the embedded default."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.chain import offload, run_offload
from support.commands import found

from offload.token.sealing import Cost


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("offload.token.software.Cost", lambda: Cost(64, 1, 1))
        found(tmp_path / "cluster")
    return tmp_path / "cluster"


def run(cluster: Path, *arguments: object, client: Path | None = None, code: int = 0) -> Any:
    """What the command prints for programs, or standard error if it is to fail."""
    words = offload(*map(str, arguments), "-c", cluster / "worker.toml", "--json")
    if client is not None:
        words += ["--client", str(client)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    if code:
        assert done.stdout == ""
        return done.stderr
    # Nothing but what was asked for, not even a line of log.
    return json.loads(done.stdout)


def test_from_creation_to_erasure(cluster: Path) -> None:
    made = run(cluster, "key", "create", "www", "--site", "www.example.org")
    assert (made["state"], made["copies"][0]["state"]) == ("active", "held")
    assert run(cluster, "key", "suspend", "www")["state"] == "suspended"
    assert run(cluster, "key", "resume", "www")["state"] == "active"
    changed = run(cluster, "key", "policy", "www", "--frontend", "front-1")
    assert (changed["sites"], changed["frontends"]) == (["www.example.org"], ["front-1"])
    doomed = run(cluster, "key", "destroy", "www")
    assert (doomed["state"], doomed["destroy_at"] is None) == ("suspended", False)
    assert run(cluster, "key", "keep", "www")["destroy_at"] is None
    run(cluster, "key", "destroy", "www", "--wait-seconds", 0)
    shown = run(cluster, "key", "show", made["ski"])
    assert (shown["state"], shown["copies"][0]["state"]) == ("destroyed", "erased")


def test_openssl_reads_what_is_exported(cluster: Path, tmp_path: Path) -> None:
    passphrase, key, out = (tmp_path / name for name in ("passphrase", "key.pem", "out.pem"))
    passphrase.touch(0o600)
    passphrase.write_text("secret word\n")
    encrypt = ["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "group:P-384"]
    encrypt += ["-aes-256-cbc", "-pass", f"file:{passphrase}", "-out", str(key)]
    subprocess.run(encrypt, check=True, capture_output=True)
    options = ("--passphrase-file", passphrase)
    made = run(cluster, "key", "import", "mail", key, "--exportable", *options)
    assert made["algorithm"] == "p-384"
    run(cluster, "key", "export", "mail", "-o", out, *options)
    public = [_public(path, passphrase) for path in (key, out)]
    assert public == [made["public_key"]] * 2


def test_two_of_three_officers_approve(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What runs in this process leaves its logging alone.
    monkeypatch.setattr("offload.observe.log.configure", lambda *_: None)
    config = ("-c", str(cluster / "worker.toml"))
    for name in ("otto", "odile"):
        run_offload("user", "create", name, "--role", "officer", "-d", tmp_path / name, *config)
    run_offload("cluster", "policy", "--approvals", "key.destroy=2", *config)
    run_offload("key", "create", "www", *config)
    olga, otto = cluster / "client.toml", tmp_path / "otto/client.toml"
    destroy = ("key", "destroy", "www", "--wait-seconds", 0)
    errors = run(cluster, *destroy, code=1)
    approval = errors.rpartition("--approval ")[2].rstrip("'\n")
    for officer, signed in ((olga, ["olga"]), (otto, ["olga", "otto"])):
        sign = ("approval", "sign", approval, "--yes")
        assert run(cluster, *sign, client=officer)["signed_by"] == signed
    assert run(cluster, *destroy, "--approval", approval)["state"] == "destroyed"


def _public(path: Path, passphrase: Path) -> str:
    read = ["openssl", "pkey", "-in", str(path), "-passin", f"file:{passphrase}", "-pubout"]
    return subprocess.run(read, check=True, capture_output=True, text=True).stdout
