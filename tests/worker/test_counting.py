from collections import Counter
from pathlib import Path

from offload.cluster.usage import Count, Ledger
from offload.worker.counting import Counting

A = b"a" * 20


def counted(path: Path) -> list[Count]:
    ledger = Ledger(path)
    try:
        return ledger.unpublished(10)
    finally:
        ledger.close()


async def test_what_was_signed_is_added_at_the_end(tmp_path: Path) -> None:
    signatures = Counter({A: 3})
    counting = Counting(signatures, tmp_path / "usage.db")
    counting.start()
    signatures[A] += 1
    await counting.stop()
    assert counted(tmp_path / "usage.db") == [Count(A, 4)]
    assert not signatures


async def test_what_cannot_be_added_is_kept(tmp_path: Path) -> None:
    signatures = Counter({A: 3})
    counting = Counting(signatures, tmp_path / "absent" / "usage.db")
    await counting.add()
    assert signatures == {A: 3}
    (tmp_path / "absent").mkdir()
    await counting.add()
    assert counted(tmp_path / "absent" / "usage.db") == [Count(A, 3)]
    await counting.stop()


async def test_several_processes_add_to_one_sum(tmp_path: Path) -> None:
    for _ in range(2):
        counting = Counting(Counter({A: 3}), tmp_path / "usage.db")
        await counting.add()
        await counting.stop()
    assert counted(tmp_path / "usage.db") == [Count(A, 6)]
