"""Whom a front-end believes."""

from pathlib import Path

import pytest
from support.pki import PKI

from offload.frontend.directory.trust import read_authority


def test_the_first_certificate_of_the_file(pki: PKI, tmp_path: Path) -> None:
    assert read_authority(pki.root_path) == pki.root
    both = tmp_path / "both.pem"
    both.write_bytes(pki.root_path.read_bytes() + pki.site("site.test").chain_pem)
    assert read_authority(both) == pki.root


def test_a_file_without_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ValueError):
        read_authority(tmp_path / "empty.pem")
