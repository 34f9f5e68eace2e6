"""Fuzz the reader of ClientHellos: `python tests/fuzz/fuzz_client_hello.py --runs N [--seed N]`.

With atheris installed it guides the search by coverage; without, it mutates valid hellos with a
seeded generator, so a failure comes again with the same seed. What must hold for any bytes: they
are read, or more are wanted, or they are refused with NotTLS or MalformedClientHello; a prefix
of what wants more wants more; what was read stays the same whatever follows, and however the
message is cut into records.
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

from support.client_hellos import body, extension, fragmented, hello, message, record, server_name

from offload.tls import client_hello
from offload.tls.client_hello import ClientHello, MalformedClientHello, NotTLS, read_client_hello

LONGEST_INPUT = 70_000
SEEDS = [
    hello(),
    hello(server_name(b"www.example.com")),
    hello(extension(43, b"\x02\x03\x04"), server_name(b"a"), extension(21, bytes(300))),
    record(message(body(server_name(b"Site.Test"), session_id=bytes(32), ciphers=bytes(62)))),
    fragmented(hello(server_name(b"www.example.com")), [1]),
    fragmented(hello(server_name(b"www.example.com"), extension(51, bytes(1200))), [2, 300]),
    fragmented(hello(server_name(b"b"), *(extension(21, bytes(15_000)),) * 4), [16384]),
    b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
]

Outcome = ClientHello | type[Exception] | None


def read(data: bytes) -> Outcome:
    """What reading comes to."""
    try:
        return read_client_hello(data)
    except (NotTLS, MalformedClientHello) as error:
        return type(error)


def check(data: bytes) -> None:
    """Raises AssertionError, or whatever the reader lets out, if a law does not hold."""
    outcome = read(data)
    for end in (len(data) // 2, len(data) - 1):
        if outcome is None and end >= 0:
            assert read(data[:end]) is None
    if isinstance(outcome, ClientHello):
        assert read(data + b"\x16\x03\x01 and more") == outcome
        check_name(outcome.server_name)
        check_records(data, outcome)


def check_name(name: str | None) -> None:
    """What is looked up and logged is short, in lower case, and holds no zero."""
    assert name is None or (0 < len(name) <= 255 and name == name.lower() and name.isascii())
    assert name is None or "\0" not in name


def check_records(data: bytes, outcome: ClientHello) -> None:
    """A hello that fits one record means the same in many."""
    length = int.from_bytes(data[3:5])
    needed = int.from_bytes(data[6:9]) + 4
    if length >= 4 and needed <= length:
        whole = data[: 5 + needed]
        assert read(fragmented(whole, [3])) == outcome
        assert read(fragmented(whole, [1, 7, 500])) == outcome


def mutate(data: bytes, source: random.Random) -> bytes:
    """`data` with one to six changes of the kinds that find the edges of a length-led format."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 6)):
        place = source.randrange(len(changed) + 1)
        if source.random() < 0.5:
            place = min(place, source.randrange(120))  # where the lengths are
        kind = source.randrange(6)
        if kind == 0 and changed:
            changed[place % len(changed)] = source.choice((0, 1, 2, 3, 5, 22, 64, 127, 255))
        elif kind == 1 and changed:
            changed[place % len(changed)] ^= 1 << source.randrange(8)
        elif kind == 2:
            del changed[place : place + source.randint(1, 8)]
        elif kind == 3:
            changed[place:place] = source.randbytes(source.randint(1, 8))
        elif kind == 4:
            del changed[place:]
        else:
            changed[place:place] = source.choice(SEEDS[:4])
    return repaired(bytes(changed[:LONGEST_INPUT]), source)


def repaired(data: bytes, source: random.Random) -> bytes:
    """Half the time with lengths that fit, so that the mutation reaches the extensions."""
    length = len(data) - 5
    if not 4 <= length <= 16384 or source.random() < 0.5:
        return data
    return b"\x16\x03\x01" + length.to_bytes(2) + b"\x01" + (length - 4).to_bytes(3) + data[9:]


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


def fuzz_by_coverage(runs: int, seed: int) -> None:
    """Hand over to atheris, which ends the process itself."""
    atheris = importlib.import_module("atheris")
    for member in vars(client_hello).values():
        if isinstance(member, FunctionType):
            atheris.instrument_func(member)
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-client-hello-"))
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
