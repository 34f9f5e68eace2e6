"""scripts/peers installs what is missing, nginx's stream module by itself where it is a package."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "peers"
_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_PROGRAMS = (
    *("curl", "openssl", "haproxy", "wrk", "promtool"),
    *("etcd", "softhsm2-util", "chromium"),
)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A bin/ in which all peers are but nginx, and an apt-get that writes down what it is asked."""
    if _MODULE.exists():
        script = _SCRIPT.read_text().replace(str(_MODULE), str(tmp_path / "no-module"))
    else:
        script = _SCRIPT.read_text()
    (tmp_path / "peers").write_text(script.replace(":/usr/sbin", ""))
    (tmp_path / "bin").mkdir()
    for tool in ("grep", "env", "cat"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or f"/usr/bin/{tool}")
    for program in _PROGRAMS:
        _install(tmp_path, program)
    _install(tmp_path, "ldconfig", "echo '    libp11-kit.so.0 (libc6,x86-64) => /lib/x.so.0'")
    _install(tmp_path, "apt-get", f'echo "$*" >> {tmp_path}/asked')
    _install(tmp_path, "id", "echo 0")
    return tmp_path


def _install(machine: Path, name: str, body: str = "exit 0") -> None:
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _run(machine: Path) -> list[str]:
    ran = subprocess.run(
        ["/bin/sh", machine / "peers"],
        env={**os.environ, "PATH": str(machine / "bin")},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ran.returncode == 0, ran.stderr
    asked = machine / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


_INSTALL = "install -y -qq --no-install-recommends "


def test_nginx_and_its_stream_module_are_installed_one_after_the_other(machine: Path) -> None:
    asked = [" ".join(line.split()) for line in _run(machine)]
    assert asked == [f"{_INSTALL}nginx-light", f"{_INSTALL}libnginx-mod-stream"]


def test_an_nginx_without_the_module_gets_it(machine: Path) -> None:
    _install(machine, "nginx", "echo '--with-stream=dynamic --with-stream_ssl_module' >&2")
    assert _run(machine) == [f"{_INSTALL}libnginx-mod-stream"]


def test_an_nginx_with_streams_built_in_needs_nothing(machine: Path) -> None:
    _install(machine, "nginx", "echo '--with-http_v2_module --with-stream --with-debug' >&2")
    assert _run(machine) == []


def test_a_module_that_cannot_be_had_stops_nothing(machine: Path) -> None:
    _install(machine, "nginx", "echo none >&2")
    _install(machine, "apt-get", "exit 100")
    assert _run(machine) == []


def test_what_the_cluster_s_tests_need_is_installed(machine: Path) -> None:
    _install(machine, "nginx", "echo --with-stream >&2")
    for program in ("etcd", "softhsm2-util", "chromium"):
        (machine / "bin" / program).unlink()
    _install(machine, "ldconfig", "echo '    libp11.so.3 (libc6,x86-64) => /lib/x.so.0'")
    asked = [" ".join(line.split()) for line in _run(machine)]
    assert asked == [f"{_INSTALL}etcd-server softhsm2 chromium libp11-kit0"]


def test_one_that_cannot_be_had_does_not_keep_the_others_away(machine: Path) -> None:
    _install(machine, "nginx", "echo --with-stream >&2")
    for program in ("etcd", "chromium"):
        (machine / "bin" / program).unlink()
    note = f'echo "$*" >> {machine}/asked'
    _install(machine, "apt-get", f'{note}\ncase "$*" in *chromium*) exit 100;; esac')
    asked = [" ".join(line.split()) for line in _run(machine)]
    assert asked == [
        f"{_INSTALL}etcd-server chromium",
        "update -qq",
        f"{_INSTALL}etcd-server",
        f"{_INSTALL}chromium",
    ]


def test_no_service_is_started(machine: Path) -> None:
    _install(machine, "nginx", "echo --with-stream >&2")
    (machine / "bin" / "etcd").unlink()
    _install(machine, "apt-get", f'echo "$RUNLEVEL $SYSTEMD_OFFLINE" >> {machine}/asked')
    assert _run(machine) == ["1 1"]
