"""The provider among the libraries of a process: it is there for each, and in nobody's way."""

import hashlib
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from support.fresh_process import fresh_process, run_python
from support.memory_tls import Site, handshake, move
from support.pki import PKI
from support.signer import Signer

from offload.provider import _native, environment


@fresh_process
def test_the_library_of_hashlib_and_ssl_works_beside() -> None:
    assert hashlib.new("sha256", b"abc").hexdigest().startswith("ba7816bf")
    site = Site("p-256")
    _native.set_sign(Signer(site.key))
    handshake(site.connect("1.3"), site.accept())
    with TemporaryDirectory() as directory:
        _stdlib_handshake(directory)
    handshake(site.connect("1.2"), site.accept())
    assert hashlib.pbkdf2_hmac("sha256", b"p", b"s", 1)
    assert ssl.OPENSSL_VERSION_INFO >= (3, 0)


def _stdlib_handshake(directory: str) -> None:
    """Both ends by the ssl module, with an ordinary key in a file and one session ticket."""
    pki = PKI(Path(directory))
    issued = pki.site("localhost", algorithm="rsa-2048")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(issued.certificate_path, issued.key_path)
    calling = ssl.create_default_context(cafile=pki.root_path)
    pipes = [ssl.MemoryBIO() for _ in range(2)]
    server = serving.wrap_bio(pipes[0], pipes[1], server_side=True)
    client = calling.wrap_bio(pipes[1], pipes[0], server_hostname="localhost")
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    client.write(b"ping")
    assert server.read(4) == b"ping"


@fresh_process
def test_keys_in_the_process_are_signed_with_by_the_library_itself() -> None:
    site = Site("p-256")
    signer = Signer(site.key)
    _native.set_sign(signer)
    local = SSL.Context(SSL.TLS_SERVER_METHOD)
    local.use_certificate(site.certificate)
    assert isinstance(site.key, ec.EllipticCurvePrivateKey)
    local.use_privatekey(site.key)
    server = SSL.Connection(local, None)
    server.set_accept_state()

    handshake(site.connect("1.3"), server)

    assert signer.requests == []


@fresh_process
def test_one_ticket_is_sent() -> None:
    site = Site("p-256")
    _native.set_sign(Signer(site.key))
    client, server = site.connect("1.3"), site.accept()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    move(client, server)
    with pytest.raises(SSL.WantReadError):
        server.do_handshake()
    move(server, client)
    client.do_handshake()
    move(client, server)
    server.do_handshake()

    assert len(_records(server.bio_read(1 << 16))) == 1


def _records(flight: bytes) -> list[bytes]:
    """The TLS records of a flight (RFC 8446 5.1)."""
    records = []
    while flight:
        length = 5 + int.from_bytes(flight[3:5], "big")
        records.append(flight[:length])
        flight = flight[length:]
    return records


def test_a_process_of_several_libraries_ends_in_peace() -> None:
    code = (
        "import hashlib, ssl; from OpenSSL import crypto; from offload.provider import check;"
        "check(); check(); ssl.create_default_context(); print('done')"
    )
    done = run_python("-W", "error", "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.needs("openssl")
def test_a_program_that_inherits_the_environment_works() -> None:
    # It is not Python, so it cannot load the module, and goes on without.
    done = subprocess.run(
        ["openssl", "dgst", "-sha256"],
        env={**os.environ, **environment()},
        input=b"abc",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.strip().endswith(hashlib.sha256(b"abc").hexdigest().encode())


def test_the_symbols_of_the_module_are_its_two_entries() -> None:
    if shutil.which("nm") is None:
        pytest.skip("missing nm: install binutils")
    listed = subprocess.run(
        ["nm", "--dynamic", "--defined-only", environment()["OFFLOAD_MODULE"]],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert names == {"OSSL_provider_init", "PyInit__native"}
