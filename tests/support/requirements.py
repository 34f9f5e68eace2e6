"""Tests against real peers: `@pytest.mark.needs("nginx", "wrk")` skips where one is missing.

With CI=true nothing may be skipped: a skip there is a failure, so that a missing peer cannot hide
a broken test.
"""

import os
import re
import shutil
from collections.abc import Generator
from ctypes.util import find_library

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*names): skip unless all programs and libraries are installed"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        missing = [name for name in marker.args if not _is_there(name)]
        if missing:
            pytest.skip(f"missing {', '.join(missing)}: run scripts/peers")


def _is_there(name: str) -> bool:
    """Whether a program, or a shared library such as 'libp11-kit.so.0', is installed."""
    library = re.fullmatch(r"lib(.+)\.so\.\d+", name)
    return (find_library(library[1]) if library else shutil.which(name)) is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _forbid_skip(report)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped in CI: {reason}"
