import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from offload.config import (
    Address,
    Backend,
    ConfigurationError,
    Frontend,
    FrontendGrant,
    Identity,
    Log,
    Pool,
    Settings,
    Site,
    TokenSettings,
    Worker,
    WorkerAddress,
    load,
)

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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "offload.toml"


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


def test_defaults_are_those_of_the_documentation(file: Path) -> None:
    settings = loaded(file, FRONTEND + WORKER)
    front_end, worker = settings.frontend, settings.worker
    assert front_end is not None
    assert worker is not None
    assert settings.log == Log(level="info", format="json")
    assert (front_end.processes, front_end.backlog, front_end.admin) == (0, 4096, None)
    assert front_end.handshake_timeout == 10.0
    assert front_end.idle_timeout == 300.0
    assert front_end.drain_timeout == 30.0
    assert (front_end.pool.deadline, front_end.pool.links) == (5.0, 1)
    assert front_end.pool.verify == "sample"
    site = front_end.sites[0]
    assert (site.default, site.alpn, site.min_version) == (False, (), "1.2")
    assert (site.tickets, site.proxy_protocol) == (True, False)
    assert site.groups == ("X25519MLKEM768", "X25519", "P-256", "P-384")
    assert (worker.processes, worker.threads, worker.plain_digests) == (0, 4, False)
    assert worker.drain_timeout == 10.0


def test_relative_paths_are_relative_to_the_file(file: Path) -> None:
    settings = loaded(file, FRONTEND.replace('"fe.key"', '"/etc/fe.key"'))
    assert settings.frontend is not None
    assert settings.frontend.pool.trust == file.parent / "ca.pem"
    assert settings.frontend.pool.identity.key == Path("/etc/fe.key")
    assert settings.frontend.sites[0].certificates == (file.parent / "site.pem",)


def test_settings_cannot_be_changed(file: Path) -> None:
    settings = loaded(file, FRONTEND)
    with pytest.raises(ValidationError):
        setattr(settings, "log", Log())  # noqa: B010 - the type checker forbids it too


def test_a_role_reads_its_own_table_only(file: Path) -> None:
    file.write_text(FRONTEND + WORKER)
    alone = load(file, role="worker", environment={}, files=False)
    assert alone.frontend is None
    assert alone.worker is not None
    file.write_text(FRONTEND)
    with pytest.raises(ConfigurationError, match="worker: is missing; add a"):
        load(file, role="worker", environment={}, files=False)


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("127.0.0.1:443", "127.0.0.1", 443, None),
        ("localhost:0", "localhost", 0, None),
        ("worker-1.internal:2407", "worker-1.internal", 2407, None),
        ("[::1]:443", "::1", 443, None),
        ("unix:/run/x.sock", "", 0, Path("/run/x.sock")),
    ],
)
def test_addresses(text: str, host: str, port: int, path: Path | None) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.path) == (host, port, path)
    assert str(address) == text
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["tcp://10.0.0.1:80", "tcp://[::1]:80", "unix:///run/x"])
def test_backends(text: str) -> None:
    assert str(Backend.parse(text)) == text
    assert Backend.parse(text) != Backend.parse("tcp://10.0.0.2:80")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"127.0.0.1:8443"', '"127.0.0.1"', "frontend.listen[0]: '127.0.0.1' has no port; write"),
        ('"127.0.0.1:8443"', '":443"', "frontend.listen[0]: ':443' has no host; for every"),
        ('"127.0.0.1:8443"', '"a:70000"', "frontend.listen[0]: 'a:70000' has no port; write"),
        ('"127.0.0.1:8443"', '"1.2.3:80"', "frontend.listen[0]: '1.2.3:80' has no valid host"),
        ('"127.0.0.1:8443"', '"[::g]:80"', "frontend.listen[0]: '[::g]:80' has no valid IPv6"),
        ('"127.0.0.1:8443"', '"::1:80"', "frontend.listen[0]: '::1:80' is ambiguous; write"),
        ('"127.0.0.1:8443"', '"unix:"', "frontend.listen[0]: 'unix:' names no socket; write"),
        ('"127.0.0.1:8443"', '"unix:/' + "x" * 108 + '"', "is longer than a socket path may be"),
        ('["127.0.0.1:8443"]', "[]", "frontend.listen: is empty; add at least one entry"),
        ('["127.0.0.1:8443"]', '"127.0.0.1:8443"', "frontend.listen: is not a list; put it in"),
        ('"127.0.0.1:8443"', '"a:1", "a:1"', "frontend.listen: listen address 'a:1' stands twice"),
        ("[frontend]", "[frontend]\nprocesses = -1", "frontend.processes: -1 is not valid; use"),
        ("[frontend]", "[frontend]\nidle_timeout = 0", "frontend.idle_timeout: 0 is not valid"),
        ("[frontend]", "[frontend]\nproceses = 1", "frontend.proceses: unknown key; did you mean"),
        ("[frontend]", "[frontend]\nzzz = 1", "frontend.zzz: unknown key; remove it or correct"),
        ("[frontend]", "[frontends]", "frontends: unknown key; did you mean 'frontend'?"),
        ('trust = "ca.pem"', "", "frontend.pool.trust: is missing; add it"),
        ('trust = "ca.pem"', 'trust = ""', "frontend.pool.trust: is empty; write the path"),
        (
            '"tcp://127.0.0.1:8080"',
            '"http://a"',
            "frontend.sites[0].backends[0]: 'http://a' is not",
        ),
        ('"tcp://127.0.0.1:8080"', '"tcp://a:0"', "frontend.sites[0].backends[0]: 'tcp://a:0' has"),
        ('"www.example.org"', '"www.*.org"', "frontend.sites[0].names[0]: 'www.*.org' has a"),
        ('"www.example.org"', '"*"', "frontend.sites[0].names[0]: '*' has a wildcard elsewhere"),
        ('"www.example.org"', '"w*.org"', "frontend.sites[0].names[0]: 'w*.org' has a wildcard"),
        ('"www.example.org"', '"*.org.*"', "frontend.sites[0].names[0]: '*.org.*' has a wildcard"),
        ('"www.example.org"', '"*.com"', "frontend.sites[0].names[0]: '*.com' is not a DNS name"),
        ('"www.example.org"', '"-a.org"', "frontend.sites[0].names[0]: '-a.org' is not a DNS name"),
        ('"www.example.org"', '"10.0.0.1"', "frontend.sites[0].names[0]: '10.0.0.1' is an IP"),
        (
            '"www.example.org"',
            '"bücher.de"',
            "frontend.sites[0].names[0]: 'bücher.de' is not ASCII",
        ),
        ('"www.example.org"', '"a.b", "A.B"', "frontend.sites[0]: site name 'a.b' stands twice"),
        ('names = ["www.example.org"]', "", "frontend.sites[0]: has no names and is not the"),
        ("[[frontend.sites]]", '[[frontend.sites]]\ngroups = ["P-192"]', "unknown group 'P-192'"),
        (
            "[[frontend.sites]]",
            '[[frontend.sites]]\nalpn = ["h9"]',
            "sites[0].alpn[0]: unknown app",
        ),
        (
            "[[frontend.sites]]",
            '[[frontend.sites]]\nmin_version = "1.1"',
            "'1.1' is not valid; use",
        ),
        ('name = "worker-1"', 'name = "a b"', "frontend.pool.workers[0].name: 'a b' is not a name"),
        ("[frontend]", '[log]\nlevel = "loud"\n[frontend]', "log.level: 'loud' is not valid; use"),
    ],
)
def test_what_is_wrong_in_a_front_end_is_said(file: Path, old: str, new: str, said: str) -> None:
    assert old in FRONTEND
    lines = problems(file, FRONTEND.replace(old, new, 1))
    assert any(said in line for line in lines)
    assert "; " in lines[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ab" * 32, "ab" * 31, "worker.frontends[0].fingerprint: '" + "ab" * 31 + "' is not a SHA"),
        ("ab" * 32, "zz" * 32, "worker.frontends[0].fingerprint: '" + "zz" * 32 + "' is not a SHA"),
        ('["*"]', "[]", "worker.frontends[0].keys: is empty; add at least one entry"),
        ('["*"]', '["*", "www"]', "worker.frontends[0].keys: '*' stands for every key; leave it"),
        ('["*"]', '["www", "www"]', "worker.frontends[0].keys: key 'www' stands twice; remove"),
        ('["*"]', '[""]', "worker.frontends[0].keys: a key label is empty; write"),
        ('"passphrase"', '"passphrase", passphrase = "x"', "worker.token.passphrase: unknown key"),
        ("[worker]", "[worker]\nthreads = 0", "threads: 0 is not valid; use a number greater than"),
        ("[worker]", "[worker]\nthreads = 'x'", "threads: 'x' is not valid; use a valid integer"),
    ],
)
def test_what_is_wrong_in_a_worker_is_said(file: Path, old: str, new: str, said: str) -> None:
    assert old in WORKER
    lines = problems(file, WORKER.replace(old, new, 1))
    assert said in lines[0]
    assert "; " in lines[0]


def test_all_that_is_wrong_is_said_at_once(file: Path) -> None:
    text = FRONTEND.replace("127.0.0.1:8443", "nowhere").replace("tcp://", "http://")
    assert len(problems(file, text)) == 2


def test_two_default_sites_are_refused(file: Path) -> None:
    site = FRONTEND[FRONTEND.index("[[frontend.sites]]") :] + "default = true\n"
    text = FRONTEND + "default = true\n" + site.replace("www", "api")
    assert problems(file, text) == [
        "frontend.sites: sites 0 and 1 are both the default; leave 'default = true' at one"
    ]


def test_a_name_of_two_sites_is_refused(file: Path) -> None:
    site = FRONTEND[FRONTEND.index("[[frontend.sites]]") :]
    assert problems(file, FRONTEND + site.upper().replace("FRONTEND.SITES", "frontend.sites")) != []
    assert problems(file, FRONTEND + site) == [
        "frontend.sites: site name 'www.example.org' stands twice; remove one"
    ]


@pytest.mark.parametrize("repeated", ["name", "address"])
def test_a_worker_named_twice_is_refused(file: Path, repeated: str) -> None:
    second = '{ name = "worker-2", address = "127.0.0.1:2408" }'
    same = second.replace("worker-2" if repeated == "name" else "2408", "")
    same = same.replace('""', '"worker-1"').replace('127.0.0.1:"', '127.0.0.1:2407"')
    text = FRONTEND.replace("2407" + '" }', f'2407" }}, {same}')
    assert f"frontend.pool.workers: worker {repeated}" in problems(file, text)[0]


@pytest.mark.parametrize("repeated", ["name", "fingerprint"])
def test_a_front_end_granted_twice_is_refused(file: Path, repeated: str) -> None:
    grant = WORKER[WORKER.index("[[worker.frontends]]") :]
    changed = grant.replace("ab" * 32, "cd" * 32) if repeated == "name" else grant.replace("-1", "")
    assert f"worker.frontends: front-end {repeated}" in problems(file, WORKER + changed)[0]


def test_nothing_to_run_is_refused(file: Path) -> None:
    assert "configures nothing to run" in problems(file, "")[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[frontend", "is not TOML: expected ']'"),
        (b"a = 1\na = 2\n", "is not TOML: cannot overwrite a value"),
        (b"# \xff\n", "is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_what_is_no_toml_is_refused(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said.replace("[", r"\[")):
        load(file)


def test_a_file_that_is_not_there_is_said(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: no such file or directory"):
        load(file)


def test_the_environment_overrides_the_file(file: Path) -> None:
    environment = {
        "OFFLOAD_FRONTEND__PROCESSES": "3",
        "OFFLOAD_FRONTEND__POOL__DEADLINE": "1.5",
        "OFFLOAD_FRONTEND__LISTEN": json.dumps(["127.0.0.1:1"]),
        "OFFLOAD_LOG__FORMAT": "text",
        "OFFLOAD_MODULE": "not a setting",
        "OFFLOAD_OTHER__THING": "not a setting",
        "PATH": "/bin",
    }
    settings = loaded(file, FRONTEND, environment)
    assert settings.frontend is not None
    assert settings.frontend.processes == 3
    assert settings.frontend.pool.deadline == 1.5
    assert settings.frontend.listen == (Address.parse("127.0.0.1:1"),)
    assert settings.log.format == "text"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OFFLOAD_FRONTEND__PROCESES", "3", "frontend.proceses: unknown key; did you mean"),
        ("OFFLOAD_FRONTEND__LISTEN", "[1", "frontend.listen: is not a list"),
        ("OFFLOAD_LOG__LEVEL", "loud", "log.level: 'loud' is not valid"),
    ],
)
def test_the_environment_is_checked_too(file: Path, variable: str, value: str, said: str) -> None:
    assert said in problems(file, FRONTEND, {variable: value})[0]


def test_a_worker_s_name_fits_a_certificate(file: Path) -> None:
    longest = "w" * 63  # of a label in a DNS name (RFC 1035, 2.3.4)
    assert loaded(file, WORKER.replace('name = "worker-1"', f'name = "{longest}"', 1)).worker
    said = problems(file, WORKER.replace('name = "worker-1"', f'name = "{longest}w"', 1))
    assert said
    assert "up to 63" in said[0]


def test_variables_of_the_other_role_do_no_harm(file: Path) -> None:
    file.write_text(FRONTEND)
    environment = {"OFFLOAD_WORKER__PROCESSES": "2", "OFFLOAD_FRONTEND__PROCESSES": "3"}
    settings = load(file, role="frontend", environment=environment, files=False)
    assert settings.worker is None
    assert settings.frontend is not None
    assert settings.frontend.processes == 3


def test_fingerprints_are_taken_as_openssl_prints_them(file: Path) -> None:
    printed = ":".join(["AB"] * 32)
    settings = loaded(file, WORKER.replace("ab" * 32, printed))
    assert settings.worker is not None
    assert settings.worker.frontends[0].fingerprint == "ab" * 32


def test_group_names_have_their_usual_aliases(file: Path) -> None:
    text = FRONTEND + 'groups = ["x25519mlkem768", "secp256r1", "P-521"]\n'
    settings = loaded(file, text)
    assert settings.frontend is not None
    assert settings.frontend.sites[0].groups == ("X25519MLKEM768", "P-256", "P-521")


# An entry of each list and table that the examples must explain.
MODELS: list[tuple[str, type[Any]]] = [
    ("frontend", Log),
    ("frontend", Frontend),
    ("frontend", Pool),
    ("frontend", Identity),
    ("frontend", WorkerAddress),
    ("frontend", Site),
    ("worker", Log),
    ("worker", Worker),
    ("worker", Identity),
    ("worker", TokenSettings),
    ("worker", FrontendGrant),
]


@pytest.mark.parametrize("name", ["frontend", "worker", "single-machine"])
def test_the_example_files_load(repository: Path, name: str) -> None:
    load(repository / "configs" / f"{name}.toml", environment={}, files=False)


def test_every_example_file_is_tested(repository: Path) -> None:
    names = {path.stem for path in (repository / "configs").glob("*.toml")}
    assert names == {"frontend", "worker", "single-machine"}


@pytest.mark.parametrize(("name", "model"), MODELS)
def test_the_example_files_show_every_setting(
    repository: Path, name: str, model: type[Any]
) -> None:
    text = (repository / "configs" / f"{name}.toml").read_text()
    for setting, field in model.model_fields.items():
        if setting in ("cluster", "keys"):
            continue
        is_table = f".{setting}]" in text
        assert is_table or f"\n{setting} = " in text, f"{setting} of {model.__name__}"
        if not is_table and field.default.__class__ in (bool, int, float, str):
            assert f"\n{setting} = {json.dumps(field.default)}\n" in text or setting == "default"
