"""Configurations as text, and what is said of them."""

from pathlib import Path

import pytest

from offload.config import ConfigurationError, Settings, load

FRONTEND = """
[frontend]
listen = ["127.0.0.1:8443"]
[frontend.pool]
trust = "ca.pem"
identity = { certificate = "fe.pem", key = "fe.key" }
workers = [{ name = "worker-1", address = "127.0.0.1:2407" }]
[[frontend.sites]]
names = ["www.example.org"]
certificates = ["site.pem"]
backends = ["tcp://127.0.0.1:8080"]
"""

WORKER = """
[worker]
name = "worker-1"
listen = "127.0.0.1:2407"
trust = "ca.pem"
identity = { certificate = "w.pem", key = "w.key" }
token = { directory = "token", passphrase_file = "passphrase" }
[[worker.frontends]]
name = "frontend-1"
fingerprint = "%s"
keys = ["*"]
""" % ("ab" * 32)


def loaded(file: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    file.write_text(text)
    return load(file, environment=environment or {}, files=False)


def problems(file: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    """What load() says, without the file's name, which must begin every line."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(file, text, environment)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{file}: ") for line in lines)
    return [line.removeprefix(f"{file}: ") for line in lines]
