"""A record of the audit log is changed, dropped, moved or cut off."""

from __future__ import annotations

from faults.case import Case, Scene, Seen
from faults.suite import passes


async def run(scene: Scene) -> Seen:
    """The case."""
    only = ("-k", "flipped or cut_is or taken_out") if scene.quick else ()
    return await passes("tests/audit/test_verification.py", *only)


CASE = Case(
    "records of the audit log flipped, dropped, reordered, cut",
    "found, every time, and named; a whole log is never accused",
    run,
)
