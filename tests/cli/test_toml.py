import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from offload.cli.toml import dumps

KEYS = st.sampled_from(["a", "b_1", "long_name"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = TEXTS | st.booleans() | NUMBERS
VALUES = SCALARS | st.lists(SCALARS, max_size=3)
FLAT = st.dictionaries(KEYS, VALUES, max_size=3)
NESTED = st.dictionaries(KEYS, VALUES | FLAT | st.lists(FLAT, min_size=1, max_size=2), max_size=3)
TABLES = st.dictionaries(KEYS, NESTED, max_size=3)


@given(TABLES)
@settings(max_examples=50)
def test_the_standard_library_reads_what_is_written(table: dict[str, Any]) -> None:
    assert tomllib.loads(dumps(table)) == table


def test_it_looks_as_people_write_it() -> None:
    table = {"a": {"b": [1, 2], "c": {"d": True}, "e": [{"f": "x"}, {"f": "y"}]}, "z": 1.5}
    assert dumps(table) == (
        'z = 1.5\n\n[a]\nb = [1, 2]\n\n[a.c]\nd = true\n\n[[a.e]]\nf = "x"\n\n[[a.e]]\nf = "y"\n'
    )
