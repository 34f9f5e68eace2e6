"""nginx: as a subject (TLS in front of the backend) and as the backend itself.

The subject is a stream proxy, the same job as the others', or an HTTP proxy with kept-alive
connections to the backend where a bare handshake is measured. Where nginx comes without its stream
module it is an HTTP proxy throughout, and the run says so.
"""

import getpass
import re
import subprocess
import urllib.request
from functools import cache
from pathlib import Path
from typing import Literal

from bench.lab import LOAD_CORE, MEASURED_CORE, Lab
from bench.process import Process, find, free_port

Mode = Literal["stream", "http"]
MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
CONNECTIONS = 16384


class Nginx:
    """The subject: one worker process, TLS 1.2 and 1.3, neither tickets nor a session cache."""

    name = "nginx"

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode

    def version(self) -> str:
        """Its version and its OpenSSL's."""
        return _version(_build_arguments())

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        """Start it with a key of this type; the process and its port."""
        certificate, private = lab.local_key(key)
        tls = (
            f"ssl_certificate {certificate}; ssl_certificate_key {private}; "
            "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off; ssl_session_cache off;"
        )
        port = free_port()
        make = _stream if self.mode == "stream" and has_stream() else _http_proxy
        text = make(lab, f"listen 127.0.0.1:{port} ssl backlog=4096; {tls}", backend)
        process = start(lab, f"nginx-{self.mode}-{key}", text, core=MEASURED_CORE)
        lab.wait_ready(process, port)
        return process, port


def start(lab: Lab, name: str, text: str, *, core: int) -> Process:
    """Start nginx on a core with this configuration."""
    file = lab.path(f"{name}.conf")
    file.write_text(text)
    command = ["nginx", "-p", str(lab.directory), "-c", str(file), "-e", "stderr"]
    return lab.start(name, command, core=core)


class Backend:
    """The plain HTTP server that every subject relays to, and what it has served so far."""

    def __init__(self, lab: Lab, megabytes: int) -> None:
        root = lab.path("www")
        root.mkdir()
        self.large = root / "large"
        with self.large.open("wb") as large:
            large.truncate(megabytes * 1_000_000)
        self.port = free_port()
        text = _main(lab) + _http(
            lab,
            f"server {{ listen 127.0.0.1:{self.port} backlog=4096; root {root};"
            ' location = / { default_type text/plain; return 200 "ok\\n"; }'
            " location = /sink { return 200; } location = /status { stub_status; } }",
        )
        process = start(lab, "backend", text, core=LOAD_CORE)
        lab.wait_ready(process, self.port, tls=False)
        self._questions = 0

    def connections(self) -> int:
        """Connections that it has accepted since it started, these questions not counted."""
        return self._status(7)

    def requests(self) -> int:
        """Requests that it has received since it started, these questions not counted."""
        return self._status(9)

    def _status(self, field: int) -> int:
        status = f"http://127.0.0.1:{self.port}/status"
        with urllib.request.urlopen(status, timeout=10) as response:
            words = response.read().split()
        self._questions += 1  # each a connection and a request of its own
        return int(words[field]) - self._questions


def _version(text: str) -> str:
    nginx = re.search(r"nginx/\S+", text)
    built = re.search(r"built with (OpenSSL [\w.]+)", text)
    # Said only where it differs from what it was built with.
    running = re.search(r"running with (OpenSSL [\w.]+)", text)
    library = running or built
    return f"{nginx[0] if nginx else 'nginx'}, {library[1] if library else 'OpenSSL unknown'}"


@cache
def has_stream() -> bool:
    """Whether nginx can proxy plain streams here; raises SubjectUnavailable without nginx."""
    return MODULE.exists() or "--with-stream " in _build_arguments()


@cache
def _build_arguments() -> str:
    result = subprocess.run(
        [find("nginx"), "-V"], check=True, capture_output=True, text=True, timeout=10
    )
    return result.stderr + " "


def _stream(lab: Lab, listen: str, backend: int) -> str:
    load = f"load_module {MODULE};\n" if MODULE.exists() else ""
    server = f"server {{ {listen} proxy_pass 127.0.0.1:{backend}; proxy_timeout 300s; }}"
    return f"{load}{_main(lab)}stream {{ {server} }}\n"


def _http_proxy(lab: Lab, listen: str, backend: int) -> str:
    upstream = f"upstream backend {{ server 127.0.0.1:{backend}; keepalive 128; }}"
    location = (
        'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";'
        " proxy_request_buffering off; proxy_max_temp_file_size 0;"
    )
    return _main(lab) + _http(lab, f"{upstream} server {{ {listen} location / {{ {location} }} }}")


def _main(lab: Lab) -> str:
    return (
        f"daemon off; user {getpass.getuser()}; worker_processes 1;"
        f" worker_rlimit_nofile {CONNECTIONS * 2}; error_log stderr error;"
        f" pid {lab.path('nginx.pid')}; events {{ worker_connections {CONNECTIONS}; }}\n"
    )


def _http(lab: Lab, body: str) -> str:
    temporary = " ".join(
        f"{kind}_temp_path {lab.path(kind)};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"http {{ access_log off; sendfile on; tcp_nopush on; client_max_body_size 0;"
        f" keepalive_timeout 300s; keepalive_requests 100000000; {temporary} {body} }}\n"
    )
