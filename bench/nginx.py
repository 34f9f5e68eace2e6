"""nginx: as a subject (TLS in front of the backend) and as the backend itself.

The subject is a stream proxy, the same job as the others'. Where nginx comes without its stream
module it is an HTTP proxy with kept-alive connections to the backend instead, and the run says so.
"""

import getpass
import subprocess
import urllib.request
from functools import cache
from pathlib import Path

from bench.lab import LOAD_CORE, MEASURED_CORE, Lab
from bench.process import Process, find, free_port

MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
CONNECTIONS = 16384


class Nginx:
    """The subject: one worker process, TLS 1.2 and 1.3, neither tickets nor a session cache."""

    name = "nginx"

    def start(self, lab: Lab, key: str, backend: int) -> tuple[Process, int]:
        """Start it with a key of this type; the process and its port."""
        certificate, private = lab.local_key(key)
        tls = (
            f"ssl_certificate {certificate}; ssl_certificate_key {private}; "
            "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off; ssl_session_cache off;"
        )
        port = free_port()
        make = _stream if has_stream() else _http_proxy
        text = make(lab, f"listen 127.0.0.1:{port} ssl backlog=4096; {tls}", backend)
        process = start(lab, f"nginx-{key}", text, core=MEASURED_CORE)
        lab.wait_ready(process, port)
        return process, port


def start(lab: Lab, name: str, text: str, *, core: int) -> Process:
    """Start nginx on a core with this configuration."""
    file = lab.path(f"{name}.conf")
    file.write_text(text)
    command = ["nginx", "-p", str(lab.directory), "-c", str(file), "-e", "stderr"]
    return lab.start(name, command, core=core, environment=lab.peer_environment())


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

    def requests(self) -> int:
        """Requests that it has received since it started, this question among them."""
        status = f"http://127.0.0.1:{self.port}/status"
        with urllib.request.urlopen(status, timeout=10) as response:
            return int(response.read().split()[9])


@cache
def has_stream() -> bool:
    """Whether nginx can proxy plain streams here; raises SubjectUnavailable without nginx."""
    return MODULE.exists() or "--with-stream " in _build_arguments()


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
