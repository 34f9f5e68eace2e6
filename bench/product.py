"""The product as a subject: a front-end on the measured core, its worker on the other."""

import json
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.backends.openssl import backend as openssl
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from bench.lab import LOAD_CORE, MEASURED_CORE, Lab
from bench.pki import generate
from bench.process import Process, SubjectUnavailable, free_port

WORKER_NAME = "worker.bench.test"
FRONTEND_NAME = "frontend.bench.test"


@dataclass(frozen=True, slots=True)
class Keys:
    """A token with a key of each type asked for: their SKIs and certificates, by type."""

    directory: Path
    passphrase_file: Path
    skis: dict[str, bytes]
    certificates: dict[str, Path]


class Offload:
    """The subject: one serving process, no tickets; every signature is made by one worker."""

    name = "offload"
    mode = "stream"

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._names = keys
        self._keys: Keys | None = None
        self._worker: tuple[Process, int] | SubjectUnavailable | None = None
        self._identities: dict[str, tuple[Path, Path]] = {}

    def version(self) -> str:
        """Its version and its OpenSSL's."""
        try:
            from offload.version import __version__
        except ImportError as error:
            raise SubjectUnavailable(f"the product cannot be imported: {error}") from error
        return f"offload {__version__}, {openssl.openssl_version_text()}"

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        """Start a front-end with a key of this type; the process and its port."""
        return self.start_frontend(lab, key, backend, worker=self.worker_port(lab))

    def worker_port(self, lab: Lab) -> int:
        """The port of the worker that the front-ends share, started on first use.

        Raises SubjectUnavailable, at once if it could not be started before.
        """
        if self._worker is None:
            try:
                self._worker = self.start_worker(lab, core=LOAD_CORE)
            except SubjectUnavailable as error:
                self._worker = error
        if isinstance(self._worker, SubjectUnavailable):
            raise self._worker
        return self._worker[1]

    def start_frontend(
        self, lab: Lab, key: str, backend: int, *, worker: int
    ) -> tuple[Process, int]:
        """Start a front-end whose only worker is at this port; the process and its port."""
        port = free_port()
        certificate = self.keys(lab).certificates[key]
        text = _frontend(lab, port, backend, worker, self.identity(lab, FRONTEND_NAME), certificate)
        process = _start(lab, f"frontend-{key}", "frontend", text, core=MEASURED_CORE)
        lab.wait_ready(process, port)
        return process, port

    def start_worker(self, lab: Lab, *, core: int) -> tuple[Process, int]:
        """Start a worker with every key; the process and its port."""
        port = free_port()
        certificate, _ = self.identity(lab, FRONTEND_NAME)
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        fingerprint = loaded.fingerprint(hashes.SHA256()).hex()
        identity = self.identity(lab, WORKER_NAME)
        text = _worker(lab, port, self.keys(lab), identity, fingerprint)
        process = _start(lab, "worker", "worker", text, core=core)
        lab.wait(process, lambda: self._handshake(lab, port))
        return process, port

    def _handshake(self, lab: Lab, port: int) -> None:
        context = lab.client_context()
        context.load_cert_chain(*self.identity(lab, FRONTEND_NAME))
        with (
            socket.create_connection(("127.0.0.1", port), 5.0) as plain,
            context.wrap_socket(plain, server_hostname=WORKER_NAME),
        ):
            pass

    def identity(self, lab: Lab, name: str) -> tuple[Path, Path]:
        """Certificate and key for mutual TLS under a name, made on first use."""
        if name not in self._identities:
            self._identities[name] = lab.identity(name, generate("p-256"))
        return self._identities[name]

    def keys(self, lab: Lab) -> Keys:
        """The token's keys, made on first use; raises SubjectUnavailable without the product."""
        if self._keys is None:
            self._keys = _make_keys(lab, self._names)
        return self._keys


def _make_keys(lab: Lab, names: tuple[str, ...]) -> Keys:
    try:
        from offload.keys.algorithm import Algorithm
        from offload.token.software import SoftwareToken
    except ImportError as error:
        raise SubjectUnavailable(f"the product cannot be imported: {error}") from error
    passphrase_file = lab.path("passphrase")
    passphrase_file.touch(mode=0o600)
    passphrase_file.write_text("benchmark\n")
    directory = lab.path("token")
    token = SoftwareToken.create(directory, b"benchmark")
    skis, certificates = {}, {}
    for name in names:
        record = token.generate(name, Algorithm(name))
        public = load_der_public_key(record.public_key)
        assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        skis[name] = record.ski
        certificates[name] = lab.authority.issue(lab.path(f"token-{name}.pem"), name, public)
    token.close()
    return Keys(directory, passphrase_file, skis, certificates)


def _start(lab: Lab, name: str, command: str, text: str, *, core: int) -> Process:
    file = lab.path(f"{name}.toml")
    file.write_text(text)
    return lab.start(name, [sys.executable, "-m", "offload", command, "-c", str(file)], core=core)


def _frontend(
    lab: Lab,
    port: int,
    backend: int,
    worker: int,
    identity: tuple[Path, Path],
    certificate: Path,
) -> str:
    return f"""
[log]
level = "warning"
[frontend]
listen = ["127.0.0.1:{port}"]
processes = 1
[frontend.pool]
identity = {_identity(identity)}
trust = {_quoted(lab.authority.file)}
[[frontend.pool.workers]]
name = "{WORKER_NAME}"
address = "127.0.0.1:{worker}"
[[frontend.sites]]
names = ["localhost"]
default = true
alpn = ["http/1.1"]
certificates = [{_quoted(certificate)}]
backends = ["tcp://127.0.0.1:{backend}"]
tickets = false
"""


def _worker(lab: Lab, port: int, keys: Keys, identity: tuple[Path, Path], fingerprint: str) -> str:
    return f"""
[log]
level = "warning"
[worker]
name = "{WORKER_NAME}"
listen = "127.0.0.1:{port}"
processes = 1
trust = {_quoted(lab.authority.file)}
identity = {_identity(identity)}
[worker.token]
directory = {_quoted(keys.directory)}
passphrase_file = {_quoted(keys.passphrase_file)}
[[worker.frontends]]
name = "{FRONTEND_NAME}"
fingerprint = "{fingerprint}"
keys = ["*"]
"""


def _identity(files: tuple[Path, Path]) -> str:
    return f"{{ certificate = {_quoted(files[0])}, key = {_quoted(files[1])} }}"


def _quoted(path: Path) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(str(path))
