from pathlib import Path

import pytest

from offload.cli import client_file
from offload.cli.client_file import find, load
from offload.cli.failure import Failure

GOOD = 'certificate = "a.pem"\nkey = "a.key"\ntrust = "/etc/ca.pem"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "client.toml"


def test_one_server_or_several(path: Path) -> None:
    path.write_text('server = "https://one:1/"\n' + GOOD)
    assert load(path).servers == ("https://one:1",)
    path.write_text('servers = ["https://one:1", "https://[::1]:2"]\n' + GOOD)
    file = load(path)
    assert file.servers == ("https://one:1", "https://[::1]:2")
    assert (file.certificate, file.key) == (path.parent / "a.pem", path.parent / "a.key")
    assert file.trust == Path("/etc/ca.pem")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD, "server is missing"),
        ('server = "http://one:1"\n' + GOOD, "servers are to be 'https://HOST:PORT'"),
        ('server = "https://one"\n' + GOOD, "servers are to be 'https://HOST:PORT'"),
        ('server = "https://one:x"\n' + GOOD, "servers are to be 'https://HOST:PORT'"),
        ("servers = []\n" + GOOD, "servers are to be 'https://HOST:PORT'"),
        ("servers = [1]\n" + GOOD, "servers are to be 'https://HOST:PORT'"),
        ('server = "https://one:1"\nkey = "a"\ntrust = "b"\n', "certificate is missing"),
        ('server = "https://one:1"\nproxy = ""\n' + GOOD, "unknown key 'proxy'"),
        ("=", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(path: Path, text: str, problem: str) -> None:
    path.write_text(text)
    with pytest.raises(Failure, match=problem) as caught:
        load(path)
    assert caught.value.complaints[0].hint


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_file, "SYSTEM", tmp_path / "system.toml")
    home = {"HOME": str(tmp_path)}
    assert find(None, home) is None
    (tmp_path / "system.toml").touch()
    assert find(None, home) == tmp_path / "system.toml"
    own = tmp_path / ".config/offload/client.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find(None, home) == own
    assert find(None, {**home, "OFFLOAD_CLIENT": "/there"}) == Path("/there")
    assert find(Path("named"), {**home, "OFFLOAD_CLIENT": "/there"}) == Path("named")


def test_a_key_that_is_not_the_certificate_s_is_refused(made_cluster: Path, path: Path) -> None:
    users = made_cluster / "users"
    path.write_text(
        f'server = "https://one:1"\ntrust = "{made_cluster}/authority.pem"\n'
        f'certificate = "{users}/olga.pem"\nkey = "{users}/kim.key"\n'
    )
    file = load(path)
    with pytest.raises(Failure, match="is not the key of"):
        file.fingerprint()
    with pytest.raises(Failure, match="certificate, key or trust cannot be used"):
        file.context()
