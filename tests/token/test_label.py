import pytest

from offload.token.base import TokenError
from offload.token.label import check_label


@pytest.mark.parametrize("label", ["www", "www.example.org@2", "Schlüssel 1", "ab" * 19])
def test_names_are_taken(label: str) -> None:
    check_label(label)


@pytest.mark.parametrize("label", ["", "*", "a\x00", "\x1b[31m", "0f" * 20, "AB" * 20])
def test_what_means_something_else_is_refused(label: str) -> None:
    with pytest.raises(TokenError, match="choose another"):
        check_label(label)
