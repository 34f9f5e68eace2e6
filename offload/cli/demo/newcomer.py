"""A newcomer's directory, made in a process of its own: so the library of an HSM stays out of the
demonstration's, where an interrupt may come at any moment.

Run as `python -m offload.cli.demo.newcomer DIR`, with invitation and plan as JSON on standard
input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from offload.cli import cluster_join
from offload.cli.failure import Failure, render
from offload.cli.member_plan import MemberPlan
from offload.cluster.invitation import Invitation


def prepare(
    directory: Path, invitation: Invitation, plan: MemberPlan, environment: Mapping[str, str]
) -> cluster_join.Waiting:
    """As `cluster_join.prepare`, with `environment` added to ours; raises Failure."""
    asked = {"invitation": invitation.encode(), "plan": asdict(plan)}
    made = subprocess.run(
        [sys.executable, "-m", "offload.cli.demo.newcomer", str(directory)],
        input=json.dumps(asked),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    waiting = cluster_join.resume(directory)
    if made.returncode or waiting is None:
        said = made.stderr.strip().split("\n")[0] or f"exit code {made.returncode}"
        raise Failure(f"{plan.member} could not be set up: {said}")
    return waiting


def _main() -> int:
    asked = json.load(sys.stdin)
    try:
        cluster_join.prepare(
            Path(sys.argv[1]),
            Invitation.decode(asked["invitation"]),
            MemberPlan(**asked["plan"]),
        )
    except Failure as failure:
        print(render(failure.complaints[0]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(_main())
