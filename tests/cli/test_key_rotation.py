from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.commands import Commands

from offload.cluster.authority import Authority
from offload.cluster.profile import CertificateProfile


def test_a_rotation_that_nobody_has_to_help(
    key_user: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    key_user("key", "create", "own", "--site", "own.example")
    options = ("--issue", "self-signed", "--drain-seconds", 0, "--wait")
    view = key_user.json("key", "rotate", "own", *options)
    assert (view["phase"], view["names"]) == ("done", ["own.example"])
    shown = key_user.json("key", "show", "own")
    assert (shown["generation"], shown["ski"]) == (2, view["new_ski"])
    lines = key_user("key", "rotation", "own")
    assert "certificate  self-signed, for own.example" in lines


def test_a_rotation_that_waits_for_a_ca(key_user: Commands, tmp_path: Path) -> None:
    key_user("key", "create", "www", "--site", "www.example")
    waiting = key_user("key", "rotate", "www", "--wait", "--drain-seconds", 0)
    assert "phase        certifying" in waiting
    begin = waiting.index("-----BEGIN CERTIFICATE REQUEST-----")
    request = x509.load_pem_x509_csr("\n".join(waiting[begin:]).encode())
    now = datetime.now(UTC)
    names, profile = ["www.example"], CertificateProfile.SERVER
    made = Authority.create("ca", now).issue(request.public_key(), names, profile, now, 30)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    key_user("certificate", "install", "www@2", chain)
    assert key_user.json("key", "rotation", "www", "--wait")["phase"] == "done"


def test_a_rotation_is_cancelled(key_user: Commands) -> None:
    key_user("key", "create", "back", "--site", "back.example")
    key_user("key", "rotate", "back", "--wait")
    view = key_user.json("key", "rotation-cancel", "back")
    assert (view["phase"], view["reason"]) == ("rolled-back", "cancelled by kim")
    assert key_user.json("key", "show", "back")["generation"] == 1


def test_a_key_that_was_never_rotated(key_user: Commands) -> None:
    assert "'none' was never rotated" in key_user.refused("key", "rotation", "none")
