"""The helpers themselves: what they promise when a process misbehaves."""

import sys

import pytest
from cryptography import x509
from support.pki import PKI
from support.ports import free_ports
from support.processes import Spawner


def test_ports_differ() -> None:
    assert len(set(free_ports(8))) == 8


def test_pki_issues_what_its_root_signed(pki: PKI) -> None:
    site = pki.site("www.example.test", "127.0.0.1", algorithm="ed25519")
    site.certificate.verify_directly_issued_by(pki.root)
    names = site.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["www.example.test"]
    assert site.key_path.stat().st_mode & 0o077 == 0


def test_process_that_ends_early_is_reported_with_its_output(spawn: Spawner) -> None:
    process = spawn(sys.executable, "-c", "print('no such file'); raise SystemExit(3)")
    with pytest.raises(AssertionError, match=r"ended with 3:\nno such file"):
        process.wait_for_output("ready")


def test_process_is_stopped(spawn: Spawner) -> None:
    process = spawn(sys.executable, "-uc", "print('ready'); import time; time.sleep(60)")
    process.wait_for_output("^ready$")
    assert process.stop() == -15
