"""Whether a search of memory found what the product promises."""

from __future__ import annotations

from collections.abc import Mapping

from offload.cli.demo.memory import Scan
from offload.cli.demo.narration import fact
from offload.cli.failure import Failure


def judge(others: Mapping[str, Scan], workers: Mapping[str, Scan], keys: frozenset[str]) -> None:
    """Say what was found; raises Failure if `others` hold private keys, or if the search proves
    nothing: of `keys`, each was used by some worker, which has had it in memory since.
    """
    for name, other in others.items():
        if other.found:
            found = ", ".join(sorted(other.found))
            raise Failure(f"private keys lie in the memory of {name}: {found}")
        fact(name, _verdict(other, "no private key"))
    for name, worker in workers.items():
        found = " and ".join(sorted(worker.found))
        fact(name, _verdict(worker, f"found {found}" if found else "has used no key yet"))
    missed = keys.difference(*(worker.found for worker in workers.values()))
    if missed and all(worker.size is not None for worker in workers.values()):
        raise Failure(f"the search misses {', '.join(sorted(missed))}, so it proves nothing")


def _verdict(result: Scan, text: str) -> str:
    if result.size is None:
        return "not permitted: it forbids that to all but root"
    return f"{text} ({result.size / 1e6:.0f} MB searched)"
