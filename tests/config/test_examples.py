import json
from pathlib import Path
from typing import Any

import pytest

from offload.config import (
    EtcdSettings,
    Frontend,
    FrontendCluster,
    FrontendGrant,
    Identity,
    Limits,
    Log,
    Pkcs11TokenSettings,
    Pool,
    Site,
    SoftwareTokenSettings,
    SourceCaps,
    SqliteSettings,
    Worker,
    WorkerAddress,
    WorkerCluster,
    load,
)

# What the examples for each role, read together, must explain.
MODELS: list[tuple[str, type[Any]]] = [
    ("frontend", Log),
    ("frontend", Frontend),
    ("frontend", Pool),
    ("frontend", Identity),
    ("frontend", WorkerAddress),
    ("frontend", Site),
    ("frontend", Limits),
    ("frontend", SourceCaps),
    ("frontend", FrontendCluster),
    ("frontend", EtcdSettings),
    ("worker", Log),
    ("worker", Worker),
    ("worker", Identity),
    ("worker", SoftwareTokenSettings),
    ("worker", Pkcs11TokenSettings),
    ("worker", FrontendGrant),
    ("worker", WorkerCluster),
    ("worker", EtcdSettings),
    ("worker", SqliteSettings),
]
EXAMPLES = {
    "frontend": ["frontend", "frontend-cluster"],
    "worker": ["worker", "worker-cluster-sqlite", "worker-cluster-etcd", "worker-pkcs11"],
    "both": ["single-machine"],
}


@pytest.mark.parametrize("name", [name for names in EXAMPLES.values() for name in names])
def test_the_example_files_load(repository: Path, name: str) -> None:
    load(repository / "configs" / f"{name}.toml", environment={}, files=False)


def test_every_example_file_is_tested(repository: Path) -> None:
    names = {path.stem for path in (repository / "configs").glob("*.toml")}
    assert names == {name for names in EXAMPLES.values() for name in names}


@pytest.mark.parametrize(("role", "model"), MODELS)
def test_the_example_files_show_every_setting(
    repository: Path, role: str, model: type[Any]
) -> None:
    text = "".join((repository / "configs" / f"{name}.toml").read_text() for name in EXAMPLES[role])
    for setting, field in model.model_fields.items():
        is_table = f".{setting}]" in text
        assert is_table or f"\n{setting} = " in text, f"{setting} of {model.__name__}"
        if not is_table and field.default.__class__ in (bool, int, float, str):
            shown = f"\n{setting} = {json.dumps(field.default)}\n" in text
            assert shown or setting in ("default", "zone", "kind", "capacity")
