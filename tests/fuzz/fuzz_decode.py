# ruff: noqa: T201 - a program that prints what it found
"""Mutated payloads through ``decode``: see README.md beside this file.

python tests/fuzz/fuzz_decode.py --runs 1000000 [--seed 0]     random mutations, needs no atheris
python tests/fuzz/fuzz_decode.py -runs=1000000 NEW [CORPUS]    guided by coverage, needs atheris
python tests/fuzz/fuzz_decode.py --make-corpus                 real messages into corpus/
"""

import argparse
import re
import resource
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))

GUIDED = __name__ == "__main__" and not {"--runs", "--make-corpus", "--help"} & set(sys.argv)
if GUIDED:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is missing: pip install atheris, or give --runs N")

# Coverage is counted in what is imported here.
with atheris.instrument_imports(include=["fl_ef21.wire"]) if GUIDED else nullcontext():
    from fl_ef21.compressors.fresh import Fresh
    from fl_ef21.compressors.message import Dense, Sparse
    from fl_ef21.compressors.support import Support
    from fl_ef21.wire import WireError, decode, encode

from wire_examples import EXAMPLES  # noqa: E402 - beside this folder
from wire_reader import RefusedError, as_read, read  # noqa: E402

LONGEST = 4096
BYTES_PER_BYTE, BYTES_AT_LEAST = 6000, 100_000
"""Memory that a payload may take: so much for each of its bytes, and so much in any case."""

_EDGES = (0, 1, 2, 7, 8, 63, 64, 65, 127, 128, 255, 256, 300, 2**16, 2**31, 2**39, 2**40, 2**40 + 1)
_EDGE_BYTES = b"\x00\x01\x02\x08\x28\x40\x41\x42\x43\x7f\x80\x81\xc0\xff"


def sealed(body):
    """Return the body with a checksum that fits: what an attacker would send."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def varint(number):
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def stated_size(data):
    """Return the size that a payload states, so that it is not refused for another."""
    size = 0
    for shift, byte in enumerate(data[4:11]):
        size |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            break
    return size


# What must hold of any bytes


def check(data):
    """Check what must hold; return the text of the error, ``None`` if the bytes are a message."""
    size = stated_size(data)
    check_on_support(data, size)
    try:
        message = decode(data, size=size)
    except WireError as error:
        require_refused(data, size)
        return str(error)
    assert message.size == size
    assert as_read(message) == read(data, size)
    again = encode(message)
    assert decode(again, size=size) == message
    assert encode(decode(again, size=size)) == again
    return None


def require_refused(data, size):
    try:
        read(data, size)
    except RefusedError:
        return
    raise AssertionError(f"the second reader takes what decode refuses: {data.hex()}")


def check_on_support(data, size):
    if not 1 <= size <= LONGEST:
        return
    support = Support(2 * size, np.arange(1, 2 * size, 2))
    try:
        message = decode(data, size=2 * size, support=support)
    except WireError:
        return
    assert decode(encode(message, support=support), size=2 * size, support=support) == message
    plain = decode(data, size=size)
    assert plain.fresh == message.fresh
    if isinstance(plain, Fresh):
        plain, message = plain.message, message.message
    assert isinstance(plain, Dense | Sparse)
    positions = plain.indices if isinstance(plain, Sparse) else np.arange(size)
    assert message == Sparse(2 * size, 2 * positions + 1, plain.values)


def check_memory(data):
    """Check that ``decode`` takes memory for what was sent, not for what the bytes say."""
    tracemalloc.start()
    try:
        decode(data, size=stated_size(data))
    except WireError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= BYTES_AT_LEAST + BYTES_PER_BYTE * len(data), f"{peak} bytes for {data.hex()}"


# Mutations


def mutated(data, rng, others):
    """Return the payload with one to four changes and a checksum that fits."""
    body = bytearray(data[:-4])
    for _ in range(rng.integers(1, 5)):
        _MUTATIONS[rng.integers(len(_MUTATIONS))](body, rng, others)
    return sealed(bytes(body[:LONGEST]))


def _place(body, rng):
    # The first bytes decide what the others mean; but magic and version alone are soon refused.
    first = 3 if rng.integers(32) else 0
    last = min(len(body), 24) if rng.integers(2) else len(body)
    return int(rng.integers(first, max(first, last) + 1))


def _overwrite(body, rng, others):
    place = _place(body, rng)
    body[place : place + 1] = rng.bytes(1)


def _overwrite_by_edge(body, rng, others):
    place = _place(body, rng)
    body[place : place + 1] = _EDGE_BYTES[rng.integers(len(_EDGE_BYTES)) :][:1]


def _overwrite_by_varint(body, rng, others):
    place = _place(body, rng)
    end = place
    while end < len(body) and body[end] >= 0x80:
        end += 1
    body[place : end + 1] = varint(_EDGES[rng.integers(len(_EDGES))])


def _step(body, rng, others):
    place = _place(body, rng)
    if place < len(body):
        body[place] = (body[place] + rng.choice([-1, 1])) % 256


def _insert(body, rng, others):
    place = _place(body, rng)
    body[place:place] = rng.bytes(int(rng.integers(1, 5)))


def _insert_many(body, rng, others):
    place = _place(body, rng)
    body[place:place] = bytes([int(rng.choice([0, 255]))]) * int(rng.integers(200))


def _delete(body, rng, others):
    place = _place(body, rng)
    del body[place : place + int(rng.integers(1, 5))]


def _flip(body, rng, others):
    place = _place(body, rng)
    if place < len(body):
        body[place] ^= 1 << rng.integers(8)


def _splice(body, rng, others):
    other = others[rng.integers(len(others))][:-4]
    body[_place(body, rng) :] = other[_place(other, rng) :]


def _join(body, rng, others):
    """Put the message side by side with another, as parts."""
    other = others[rng.integers(len(others))]
    size = stated_size(body) + stated_size(other)
    body[3:] = (
        bytes([0x30 | body[3] % 2 if len(body) > 3 else 0x30])
        + varint(size)
        + b"\x02"
        + (bytes(body[3:]) + other[3:-4])
    )


_MUTATIONS = (
    _overwrite,
    _overwrite_by_edge,
    _overwrite_by_varint,
    _step,
    _insert,
    _insert_many,
    _delete,
    _flip,
    _flip,
    _splice,
    _join,
)


# Three ways to run


def corpus():
    """Return the payloads in corpus/."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))]


def make_corpus():
    CORPUS.mkdir(exist_ok=True)
    for path in CORPUS.glob("*.bin"):
        path.unlink()
    for name, message in EXAMPLES.items():
        (CORPUS / f"{name}.bin").write_bytes(encode(message))


def run_random(runs, seed):
    """Mutate, check, and keep what gives an error of a new kind or a new kind of message."""
    rng = np.random.default_rng(seed)
    seeds = corpus()
    pool, seen = list(seeds), Counter()
    start, slowest = time.monotonic(), 0.0
    for number in range(runs):
        # A short pool of finds beside the seeds: finds are closer to the rare branches.
        source = seeds if number % 2 else pool
        data = mutated(source[rng.integers(len(source))], rng, seeds)
        began = time.monotonic()
        try:
            error = check(data)
            if number % 64 == 0:
                check_memory(data)
        except BaseException:
            print(f"run {number} of seed {seed}: {data.hex()}", flush=True)
            raise
        slowest = max(slowest, time.monotonic() - began)
        found = re.sub(r"'\w*'|0x\w+|\d+", "#", error) if error else f"kind {data[3]:#04x}"
        seen[found] += 1
        if seen[found] <= 20 and len(data) < 1000:
            pool.append(data)
    took = time.monotonic() - start
    accepted = sum(count for found, count in seen.items() if found.startswith("kind "))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for found, count in seen.most_common():
        print(f"{count:9d}  {found}")
    print(f"{runs} payloads in {took:.0f} s, {accepted} of them messages, {len(seen)} outcomes;")
    print(f"slowest check {slowest:.3f} s, largest resident set {memory} MiB")


def run_guided():
    def mutate(data, max_size, seed):
        rng = np.random.default_rng(seed)
        if len(data) < 8 or rng.integers(2):
            return mutated(data if len(data) >= 8 else seeds[0], rng, seeds)[:max_size]
        return sealed(atheris.Mutate(data[:-4], max_size - 4))

    calls = 0

    def target(data):
        nonlocal calls
        calls += 1
        check(data)
        if calls % 64 == 0:
            check_memory(data)

    seeds = corpus()
    if not any(argument.startswith("-max_len") for argument in sys.argv):
        sys.argv.append(f"-max_len={LONGEST}")
    atheris.Setup(sys.argv, target, custom_mutator=mutate)
    atheris.Fuzz()


def main():
    if GUIDED:
        run_guided()
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, help="number of mutated payloads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--make-corpus", action="store_true")
    options = parser.parse_args()
    if options.make_corpus:
        make_corpus()
    if options.runs:
        run_random(options.runs, options.seed)


if __name__ == "__main__":
    main()
