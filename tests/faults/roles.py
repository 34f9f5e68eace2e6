"""Each role tries each act over REST."""

from __future__ import annotations

from faults.case import Case, Scene, Seen
from faults.suite import passes


async def run(scene: Scene) -> Seen:
    """The case."""
    return await passes("tests/admin/test_admin_application.py", "-k", "each_role")


CASE = Case(
    "each role with each act over REST",
    "exactly the matrix of docs/security.md",
    run,
)
