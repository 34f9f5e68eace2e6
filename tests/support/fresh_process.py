"""Tests in a process of their own, whose OpenSSL loads the provider.

OpenSSL reads its configuration once in a process, so a test that needs the provider cannot share
one with a test that was there before.
"""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec

from offload.provider import environment

P = ParamSpec("P")

_TESTS = Path(__file__).parent.parent
_TIMEOUT_SECONDS = 55.0


def run_python(
    *arguments: str | Path, env: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run this Python with arguments and the provider's environment; output is captured.

    `env` is laid over it; None takes a variable away.
    """
    paths = os.pathsep.join((str(_TESTS.parent), str(_TESTS)))
    layers = {**os.environ, **environment(), "PYTHONPATH": paths, **(env or {})}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={name: value for name, value in layers.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )


def fresh_process(test: Callable[P, None]) -> Callable[P, None]:
    """Make a test run in a process of its own; its parameters are strings and numbers."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        assert not args
        file = test.__code__.co_filename
        flags = ("-X", "faulthandler", "-W", "error")
        done = run_python(*flags, __file__, file, test.__name__, json.dumps(kwargs))
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"

    return run


def _main(arguments: Sequence[str]) -> None:
    file, name, parameters = arguments
    spec = importlib.util.spec_from_file_location("test_module", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    getattr(module, name).__wrapped__(**json.loads(parameters))


if __name__ == "__main__":
    _main(sys.argv[1:])
