from pathlib import Path

from support.configuration import FRONTEND, loaded


def test_group_names_have_their_usual_aliases(file: Path) -> None:
    text = FRONTEND + 'groups = ["x25519mlkem768", "secp256r1", "P-521"]\n'
    settings = loaded(file, text)
    assert settings.frontend is not None
    assert settings.frontend.sites[0].groups == ("X25519MLKEM768", "P-256", "P-521")
