import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from offload.cli.toml import dumps

KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    TEXTS
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = SCALARS | st.lists(SCALARS)
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES),
    lambda inner: st.dictionaries(KEYS, VALUES | inner | st.lists(inner, min_size=1)),
    max_leaves=8,
)


@given(TABLES)
def test_the_standard_library_reads_what_is_written(table: dict[str, Any]) -> None:
    assert tomllib.loads(dumps(table)) == table


def test_it_looks_as_people_write_it() -> None:
    table = {"a": {"b": [1, 2], "c": {"d": True}, "e": [{"f": "x"}, {"f": "y"}]}, "z": 1.5}
    assert dumps(table) == (
        'z = 1.5\n\n[a]\nb = [1, 2]\n\n[a.c]\nd = true\n\n[[a.e]]\nf = "x"\n\n[[a.e]]\nf = "y"\n'
    )
