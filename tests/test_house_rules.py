"""Rules of the house that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("offload", "bench")
TEXTS = ("offload", "bench", "tests", "docs", "configs", "scripts", ".ci")
LONGEST_FUNCTION = 60
# collections.Counter is not among them: the families are the only way in.
DECLARING = {"CounterFamily", "GaugeFamily", "HistogramFamily", "Gauge", "Histogram", "Summary"}

# Assembled, so that this file does not hold what it forbids.
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
MACHINE_PATHS = tuple("/" + name + "/" for name in ("work", "root", "home", "Users"))


def _sources() -> Iterator[Path]:
    for name in SOURCES:
        for path in sorted((ROOT / name).rglob("*.py")):
            yield path.relative_to(ROOT)


def _texts() -> Iterator[Path]:
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and path.name != "LICENSE":
            yield path
    for name in TEXTS:
        for path in sorted((ROOT / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return None


def _does_something(path: Path) -> bool:
    """Tell a file with behaviour from one of names, shapes and exceptions alone."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _has_body(node)
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
    )


def _has_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    # A docstring and the `...` of a Protocol are expressions too.
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in function.body
    )


def _test_files(source: Path) -> list[Path]:
    """The names that the test file of a source file may have."""
    inner = source.relative_to("offload") if source.parts[0] == "offload" else source
    stem = inner.parent.name if inner.stem == "__init__" else inner.stem.strip("_")
    folder = ROOT / "tests" / inner.parent
    long_name = f"test_{inner.parent.name}_{stem}.py"
    return [folder / f"test_{stem}.py", folder / long_name, folder.parent / long_name]


def test_every_source_file_has_a_test_file() -> None:
    missing = [
        f"{source}: no {_test_files(source)[0].relative_to(ROOT)}"
        for source in _sources()
        # A benchmark's own test is to run it.
        if source.parts[0] == "offload"
        if _does_something(source)
        if not any(path.exists() for path in _test_files(source))
    ]
    assert not missing, "\n".join(missing)


def test_metrics_are_declared_in_one_file() -> None:
    elsewhere = [
        f"{path} calls {name}"
        for path in _sources()
        if path not in (Path("offload/observe/metrics.py"), Path("offload/observe/family.py"))
        for name in _called(path) & DECLARING
    ]
    assert not elsewhere, "\n".join(elsewhere)


def _called(path: Path) -> set[str]:
    calls = (
        node.func
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Call)
    )
    return {
        call.id if isinstance(call, ast.Name) else call.attr
        for call in calls
        if isinstance(call, ast.Name | ast.Attribute)
    }


def test_functions_are_short() -> None:
    long = []
    for path in _sources():
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path}:{node.lineno}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


@pytest.mark.parametrize("forbidden", [UNFINISHED, MACHINE_PATHS], ids=["unfinished", "paths"])
def test_nothing_holds(forbidden: tuple[str, ...]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {text}"
        for path in _texts()
        for number, line in enumerate((_read(path) or "").splitlines(), 1)
        for text in forbidden
        if text in line
    ]
    assert not found, "\n".join(found)


def test_pinned_dependencies_have_hashes_and_name_no_address() -> None:
    everything = _pins("constraints.txt")
    runtime = _pins("requirements.txt")
    assert runtime < everything
    assert all("==" in pin and "--hash=sha256:" in pin for pin in everything)
    assert not any("://" in pin for pin in everything)


def _pins(name: str) -> set[str]:
    return set(re.split(r"^(?=\w)", (ROOT / name).read_text(), flags=re.MULTILINE)) - {""}
