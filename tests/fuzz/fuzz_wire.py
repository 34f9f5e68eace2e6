"""Fuzz the wire codec: `python tests/fuzz/fuzz_wire.py --runs N [--seed N]`.

With atheris installed it guides the search by coverage; without, it mutates valid frames with a
seeded generator, so a failure comes again with the same seed. What must hold for any bytes: they
are read or refused with ProtocolError; how they are cut changes nothing; what was read can be
written and read again; the order of items in a frame changes nothing.
"""

import argparse
import importlib
import importlib.util
import random
import sys
import tempfile
from pathlib import Path
from types import FunctionType

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from support.wire_messages import frame, item, items_of

from offload.wire import answers, codec, requests
from offload.wire import frame as frame_module
from offload.wire.codec import Decoder, Side, encode
from offload.wire.error import ProtocolError
from offload.wire.message import (
    Decrypt,
    Failure,
    Message,
    Ping,
    PlainSign,
    Pong,
    Signature,
    TlsSign,
    Unknown,
)

SIDES: tuple[Side, ...] = ("worker", "front-end")
SKI = bytes(range(20))
LONGEST_INPUT = 20000
SEEDS = [
    encode(TlsSign(1, SKI, 0x0403, 0x0304, bytes(32))),
    encode(TlsSign(2, SKI, 0x0804, 0x0303, bytes(100), "www.example.com", bytes(4))),
    encode(TlsSign(3, SKI, 0x0905, 0x0304, bytes(48), "", bytes(16))),
    encode(TlsSign(4, SKI, 0x0403, 0x0304, bytes(32), "www.example.com", bytes(4), bytes(32))),
    encode(PlainSign(4, 0x35, SKI, bytes(32), "www.example.com", bytes(4))),
    encode(Decrypt(5, 0x01)) + encode(Ping(6, b"ping")) + encode(Unknown(7, 0x23)),
    frame(8, item(0x12, bytes(32)), item(0x11, b"\x15"), item(0x04, SKI), item(0x20, bytes(900))),
    encode(Signature(9, bytes(72))) + encode(Pong(10, b"ping")) + encode(Failure(11, 2)),
]

Outcome = list[tuple[type, Message]] | None


def read(side: Side, pieces: list[bytes]) -> Outcome:
    """The messages in `pieces` with their types; None if they were refused."""
    decoder = Decoder(side)
    try:
        messages = [message for piece in pieces for message in decoder.feed(piece)]
    except ProtocolError:
        return None
    return [(type(message), message) for message in messages]


def check(data: bytes) -> None:
    """Raises AssertionError, or whatever the codec lets out, if a law does not hold."""
    for side in SIDES:
        outcome = read(side, [data])
        middle = len(data) // 2
        assert read(side, [data[:1], data[1:middle], data[middle:]]) == outcome
        for kind, message in outcome or ():
            assert read(side, [encode(message)]) == [(kind, message)]
        if outcome:
            check_order(side, data)


def check_order(side: Side, data: bytes) -> None:
    """The first frame of `data`, which was read, must mean the same with its items turned."""
    first = data[: 8 + int.from_bytes(data[2:4])]
    turned = frame(int.from_bytes(first[4:8]), *reversed(items_of(first)))
    assert read(side, [turned]) == read(side, [first])


def mutate(data: bytes, source: random.Random) -> bytes:
    """`data` with one to six changes of the kinds that find the edges of a length-led format."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 6)):
        place = source.randrange(len(changed) + 1)
        kind = source.randrange(5)
        if kind == 0 and changed:
            changed[place % len(changed)] = source.choice((0, 1, 2, 4, 16, 20, 255, 0x50))
        elif kind == 1 and changed:
            changed[place % len(changed)] ^= 1 << source.randrange(8)
        elif kind == 2:
            del changed[place : place + source.randint(1, 8)]
        elif kind == 3:
            changed[place:place] = source.randbytes(source.randint(1, 8))
        else:
            changed[place:place] = source.choice(SEEDS)
    return repaired(bytes(changed[:LONGEST_INPUT]), source)


def repaired(data: bytes, source: random.Random) -> bytes:
    """Half the time with a header that fits, so that the mutation reaches the items."""
    if len(data) < 8 or source.random() < 0.5:
        return data
    return b"\x01\x00" + (len(data) - 8).to_bytes(2) + data[4:]


def fuzz_by_mutation(runs: int, seed: int) -> None:
    """Check `runs` inputs that follow from `seed`."""
    source = random.Random(seed)
    for data in SEEDS:
        check(data)
    for run in range(runs):
        data = mutate(source.choice(SEEDS), source)
        try:
            check(data)
        except Exception:
            print(f"run {run} of seed {seed} fails on {data.hex()}", file=sys.stderr)
            raise


def codec_functions() -> list[FunctionType]:
    """What a guided run measures the coverage of: all else would only slow it."""
    scopes: list[object] = [answers, codec, frame_module, requests, Decoder]
    members = [member for scope in scopes for member in vars(scope).values()]
    return [member for member in members if isinstance(member, FunctionType)]


def fuzz_by_coverage(runs: int, seed: int) -> None:
    """Hand over to atheris, which ends the process itself."""
    atheris = importlib.import_module("atheris")
    for function in codec_functions():
        atheris.instrument_func(function)
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-wire-"))
    for number, data in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(data)
    options = [str(corpus), f"-atheris_runs={runs}", f"-seed={seed}", f"-max_len={LONGEST_INPUT}"]
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


def main() -> None:
    """Read the options and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=1, help="where the generator starts")
    arguments = parser.parse_args()
    guided = importlib.util.find_spec("atheris") is not None
    (fuzz_by_coverage if guided else fuzz_by_mutation)(arguments.runs, arguments.seed)
    print(f"{arguments.runs} inputs, nothing found")


if __name__ == "__main__":
    main()
