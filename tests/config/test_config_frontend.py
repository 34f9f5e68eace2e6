from pathlib import Path

import pytest
from support.configuration import FRONTEND, problems


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
