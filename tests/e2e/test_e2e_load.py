"""wrk against nginx behind the front-end: everything is answered."""

import re
from pathlib import Path

import pytest
from support.chain import Chain
from support.processes import Spawner
from support.programs import run
from support.tls_client import SocketClient

NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    {bodies}
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "nginx says hello\\n"; }}
    }}
}}
"""
BODIES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.mark.needs("nginx", "wrk")
@pytest.mark.parametrize("header", [[], ["-H", "Connection: close"]], ids=["keep-alive", "close"])
def test_wrk(chain: Chain, spawn: Spawner, tmp_path: Path, header: list[str]) -> None:
    port = chain.state.spare_port
    bodies = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in BODIES)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(NGINX.format(directory=tmp_path, port=port, bodies=bodies))
    nginx = spawn("nginx", "-e", "stderr", "-p", tmp_path, "-c", configuration)
    nginx.wait_for_port(port)
    with SocketClient(chain.port, "spare.test", chain.state.trust) as client:
        client.handshake()
        assert client.get().endswith(b"nginx says hello\n")
    url = f"https://localhost:{chain.port}/"
    done = run(["wrk", "-t", "1", "-c", "20", "-d", "2s", *header, "-H", "Host: spare.test", url])
    assert done.returncode == 0
    completed = re.search(r"(\d+) requests in", done.stdout)
    assert completed is not None
    assert int(completed[1]) > 100
    assert "Socket errors" not in done.stdout
    assert "Non-2xx" not in done.stdout
    chain.until_idle()
