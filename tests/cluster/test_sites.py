"""Names of sites in acts."""

import pytest

from offload.cluster.failures import Invalid
from offload.cluster.sites import certificate_names, site_names


def test_names_are_as_policies_compare_them() -> None:
    assert site_names(["WWW.example.org", "*.example.org"]) == ("www.example.org", "*.example.org")
    assert certificate_names(["A.example", "192.0.2.1"]) == ("a.example", "192.0.2.1")


@pytest.mark.parametrize("name", ["a b", "*", "www.*.org", "192.0.2.1"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        site_names([name])
