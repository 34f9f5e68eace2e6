"""What goes wrong on purpose, and what was seen: `make faults`, `make faults-quick`.

Each case is real processes on this machine's loopback addresses, bounded in count and time. The
last line is `N passed, N failed`; the exit status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import io
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom

TESTS = Path(__file__).resolve().parents[1]
# Run as a directory, Python puts this one first on the path; cases import what tests share.
sys.path[:1] = [str(TESTS.parent), str(TESTS)]

from offload import provider  # noqa: E402 - it comes from the path just set

provider.ensure()

from faults.case import Case, Scene, Seen  # noqa: E402

Outcome = tuple[Case, Seen, float]
"""With the seconds that it took."""

LANES = (
    ("latency", "creations", "membership"),
    ("key_material", "many_keys", "audit_log", "roles"),
)
"""Names of cases. Those of a lane share a cluster and come one after the other; for a sample the
lanes go side by side.
"""


def main() -> int:
    """Run the cases asked for."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        directory = Path(options.keep or scratch)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        scene = Scene(directory, Random(options.seed), quick=options.quick)
        outcomes: list[Outcome] = []
        try:
            # One loop for all: what a thread of its starts may end with that thread.
            asyncio.run(_run_all(_lanes(options), scene, outcomes))
        finally:
            failed = sum(not seen.ok for _, seen, _ in outcomes)
            _close(scene, show=failed > 0)
    _print(outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _close(scene: Scene, *, show: bool) -> None:
    logs = io.StringIO()
    with contextlib.redirect_stdout(logs):
        scene.close()
    if show:
        print(logs.getvalue())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description="make things fail, and look")
    parser.add_argument("--quick", action="store_true", help="a sample of each case")
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of cases")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    parser.add_argument("--keep", type=Path, help="leave files and logs in this directory")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    return options


def _lanes(options: argparse.Namespace) -> Sequence[Sequence[str]]:
    if options.only:
        return (options.only,)
    return LANES if options.quick else ([name for lane in LANES for name in lane],)


async def _run_all(lanes: Sequence[Sequence[str]], scene: Scene, outcomes: list[Outcome]) -> None:
    async def run(names: Sequence[str]) -> None:
        for name in names:
            case = importlib.import_module(f"faults.{name}").CASE
            outcomes.append((case, *await _run(case, scene)))

    if len(lanes) > 1:
        await asyncio.to_thread(lambda: scene.etcd)
    await asyncio.gather(*map(run, lanes))


async def _run(case: Case, scene: Scene) -> tuple[Seen, float]:
    began = time.monotonic()
    print(f"{case.name} ...", flush=True)
    try:
        seen = await case.run(scene)
    except Exception as error:
        traceback.print_exc()
        seen = Seen(False, f"{type(error).__name__}: {error}".splitlines()[0][:200])
    return seen, time.monotonic() - began


def _print(outcomes: list[Outcome]) -> None:
    print()
    for case, seen, seconds in outcomes:
        print(f"{'ok    ' if seen.ok else 'FAILED'} {case.name}  ({seconds:.0f} s)")
        print(f"       expected  {case.expected}")
        print(f"       seen      {seen.text}")
    print(flush=True)


if __name__ == "__main__":
    os.environ.pop("CI", None)
    sys.exit(main())
