"""The matrix is whole, and docs/security.md has the same one."""

import re
from pathlib import Path

import pytest

from offload.cluster import acts
from offload.cluster.acts import Act
from offload.cluster.roles import BY_NAME, MATRIX, allowed, roles_for
from offload.keys.role import Role

ALL = {
    one
    for one in vars(acts).values()
    if isinstance(one, type) and issubclass(one, Act) and one is not Act
}


def test_every_act_is_in_the_matrix() -> None:
    assert set(MATRIX) == ALL


def test_names_are_unique() -> None:
    assert set(BY_NAME.values()) == ALL


def test_the_documentation_has_the_same_matrix(repository: Path) -> None:
    text = (repository / "docs" / "security.md").read_text()
    heading, *lines = re.findall(r"^\| (?:act|`[a-z.]+`) \|.*$", text, re.MULTILINE)
    roles = [Role(cell) for cell in cells(heading)[1:]]
    documented = {
        cells(line)[0].strip("`"): {
            role for role, cell in zip(roles, cells(line)[1:], strict=True) if cell == "yes"
        }
        for line in lines
    }
    assert set(roles) == set(Role)
    assert documented == {act.name: set(roles) for act, roles in MATRIX.items()}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@pytest.mark.parametrize("act", MATRIX, ids=lambda act: act.name)
def test_a_front_end_manages_nothing(act: type[Act]) -> None:
    assert not allowed(Role.APPLIANCE, act)


def test_an_auditor_changes_nothing_but_makes_tokens() -> None:
    assert [act.name for act in MATRIX if act.writes and allowed(Role.AUDITOR, act)] == [
        "user.token"
    ]


def test_a_refusal_can_say_who_may() -> None:
    assert roles_for(acts.SuspendKey) == "key-user or officer"
