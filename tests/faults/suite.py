"""Cases that the test suite has already: it is run, and its own words are what was seen."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT

from faults.case import Seen
from support.chain import TESTS

_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


async def passes(*arguments: str) -> Seen:
    """Run tests of the suite; all must pass."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments),
        cwd=TESTS.parent,
        stdout=PIPE,
        stderr=STDOUT,
    )
    output, _ = await process.communicate()
    counts = {word: int(number) for number, word in _COUNT.findall(output.decode()[-500:])}
    if process.returncode:
        print(output.decode())
    text = ", ".join(f"{number} tests {word}" for word, number in counts.items())
    return Seen(process.returncode == 0 and counts.get("passed", 0) > 0, text)
