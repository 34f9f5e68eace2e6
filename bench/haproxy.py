"""HAProxy as a subject: mode tcp with TLS in front of the backend."""

from bench.lab import MEASURED_CORE, Lab
from bench.process import Process, free_port


class Haproxy:
    """The subject: one thread, TLS 1.2 and 1.3, neither tickets nor a session cache."""

    name = "haproxy"

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        """Start it with a key of this type; the process and its port."""
        certificate, private = lab.local_key(key)
        both = lab.path("both.pem")
        both.touch(mode=0o600)
        both.write_bytes(certificate.read_bytes() + private.read_bytes())
        port = free_port()
        file = lab.path("haproxy.cfg")
        file.write_text(_configuration(port, str(both), backend))
        command = ["haproxy", "-db", "-f", str(file)]
        process = lab.start(
            f"haproxy-{key}", command, core=MEASURED_CORE, environment=lab.peer_environment()
        )
        lab.wait_ready(process, port)
        return process, port


def _configuration(port: int, certificate: str, backend: int) -> str:
    return f"""
global
    nbthread 1
    maxconn 8192
    tune.ssl.cachesize 0
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
defaults
    mode tcp
    timeout connect 5s
    timeout client 300s
    timeout server 300s
listen bench
    bind 127.0.0.1:{port} ssl crt {certificate} backlog 4096
    server backend 127.0.0.1:{backend}
"""
