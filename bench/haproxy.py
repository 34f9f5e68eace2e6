"""HAProxy as a subject: TLS in front of the backend, as a stream or an HTTP proxy."""

import re
import subprocess

from bench.lab import MEASURED_CORE, Lab
from bench.nginx import Mode
from bench.process import Process, find, free_port

MODES = {"stream": "tcp", "http": "http"}


class Haproxy:
    """The subject: one thread, TLS 1.2 and 1.3, neither tickets nor a session cache."""

    name = "haproxy"

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode

    def version(self) -> str:
        """Its version and its OpenSSL's."""
        text = subprocess.run(
            [find("haproxy"), "-vv"], check=True, capture_output=True, text=True, timeout=10
        ).stdout
        haproxy = re.search(r"HAProxy version (\S+)", text)
        library = re.search(r"Running on OpenSSL version : (OpenSSL [\w.]+)", text)
        return (
            f"haproxy {haproxy[1] if haproxy else 'unknown'},"
            f" {library[1] if library else 'OpenSSL unknown'}"
        )

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        """Start it with a key of this type; the process and its port."""
        certificate, private = lab.local_key(key)
        both = lab.path("both.pem")
        both.touch(mode=0o600)
        both.write_bytes(certificate.read_bytes() + private.read_bytes())
        port = free_port()
        file = lab.path("haproxy.cfg")
        file.write_text(_configuration(MODES[self.mode], port, str(both), backend))
        command = ["haproxy", "-db", "-f", str(file)]
        process = lab.start(f"haproxy-{self.mode}-{key}", command, core=MEASURED_CORE)
        lab.wait_ready(process, port)
        return process, port


def _configuration(mode: str, port: int, certificate: str, backend: int) -> str:
    return f"""
global
    nbthread 1
    maxconn 8192
    tune.ssl.cachesize 0
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
defaults
    mode {mode}
    timeout connect 5s
    timeout client 300s
    timeout server 300s
listen bench
    bind 127.0.0.1:{port} ssl crt {certificate} backlog 4096
    server backend 127.0.0.1:{backend}
"""
