import pytest

from offload.config import site_name
from offload.config.host import is_host, is_version_4


@pytest.mark.parametrize("name", ["www.example.org", "*.Example.org", "localhost", "_a.example"])
def test_names_of_sites(name: str) -> None:
    assert site_name(name) == name.lower()


@pytest.mark.parametrize("name", ["", "a..b", "a_.org-", "1.2.3.4", "*.", "a" * 254, "ä.org"])
def test_what_is_no_name_of_a_site(name: str) -> None:
    with pytest.raises(ValueError, match=r"; (write|use) "):
        site_name(name)


@pytest.mark.parametrize(
    ("host", "valid", "numeric"),
    [("a.b", True, False), ("10.0.0.1", True, True), ("10.0.0", False, False), ("A", False, False)],
)
def test_hosts(host: str, valid: bool, numeric: bool) -> None:
    assert (is_host(host), is_version_4(host)) == (valid, numeric)
