"""What a payload costs: bits per index and per kept coordinate, framing, and time to code.

Run: python benchmarks/wire.py [FOLDER] [--json PATH] [--figure PATH.png]

FOLDER holds recorded EF21 differences real_<step>_<k>.npz: arrays idx, v and the dimension d.
Without it, uniformly random sets are measured alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import log
from pathlib import Path
from typing import Final

import numpy as np
from _report import (
    Case,
    Stopwatch,
    Target,
    Times,
    abs_max_pass,
    machine,
    machine_line,
    new_console,
    new_parser,
    power,
    target_table,
    time_interleaved,
    write_json,
)
from _wire_data import IndexSets, Shape, recorded_sets, uniform, uniform_sets
from _wire_report import (
    draw,
    payload_table,
    recorded_table,
    time_table,
    tiny_table,
    uniform_table,
)
from scipy.special import gammaln

from fl_ef21.compressors import Sparse, from_text
from fl_ef21.wire import decode, encode
from fl_ef21.wire.indices import decode_indices, encode_indices
from fl_ef21.wire.reader import Reader
from fl_ef21.wire.values import encode_values

try:
    import zstandard
except ImportError:
    zstandard = None

ROUNDINGS: Final = ("float32", "bfloat16", "natural")
TIMED: Final = 10**5
REPEATS: Final = 200

RECORDED_TARGETS: Final = {(0, 0.01): 0.85, (0, 0.001): 0.66, (20, 0.01): 0.70, (20, 0.001): 0.45}
"""Share of the uniform limit, by the first step from which it holds and by k/d."""


@dataclass(frozen=True)
class IndexRow:
    """Bits per index, averaged over sets of one shape; ``zstd`` is for their int32 bytes."""

    shape: Shape
    limit: float
    coded: float
    zstd: float | None

    @property
    def target(self) -> float | None:
        """Share of the uniform limit that a recorded set has to keep, if there is one."""
        step, share = self.shape.step, self.shape.share
        if step is None or 0 < step < 20:
            return None
        return RECORDED_TARGETS.get((min(step, 20), share))


@dataclass(frozen=True)
class PayloadRow:
    """Bytes of the longest payload among sets of one shape, and of what it consists."""

    shape: Shape
    rounding: str
    payload: int
    index: int
    value: int

    @property
    def framing(self) -> int:
        """Bytes that are neither index nor value."""
        return self.payload - self.index - self.value

    @property
    def bits(self) -> float:
        """All bits, per kept coordinate."""
        return 8 * self.payload / self.shape.count


@dataclass(frozen=True)
class TimeRow:
    """Seconds to code something with ``count`` coordinates."""

    name: str
    count: int
    times: Times


def limit_bits(shape: Shape) -> float:
    """Return log2 C(d, k)."""
    d, k = shape.size, shape.count
    return float(gammaln(d + 1) - gammaln(k + 1) - gammaln(d - k + 1)) / log(2)


def measure_indices(sets: IndexSets) -> IndexRow:
    """Encode, decode, compare and count."""
    shape, coded, zstd = sets.shape, 0, 0
    for indices in sets.sets:
        data = encode_indices(indices, shape.size)
        if not np.array_equal(decode_indices(Reader(data), shape.count, shape.size), indices):
            raise AssertionError(f"{shape.name}: the decoded indices differ")
        coded += len(data)
        if zstandard is not None:
            zstd += len(zstandard.ZstdCompressor(3).compress(indices.astype("<i4").tobytes()))
    bits = 8 / (len(sets.sets) * shape.count)
    limit = limit_bits(shape) / shape.count
    return IndexRow(shape, limit, coded * bits, zstd * bits if zstandard is not None else None)


def rounded(message: Sparse, rounding: str) -> Sparse:
    """Round a message's values as ``topk | rounding`` does: by the library's compressor."""
    if rounding == "float32":
        return message
    values = from_text(rounding).compress(message.values, np.random.default_rng(0))
    return Sparse(message.size, message.indices, values.to_dense(), values.step)


def measure_payload(sets: IndexSets, rounding: str) -> PayloadRow:
    """Encode, decode, compare and count; keep the longest."""
    shape, rows = sets.shape, []
    for indices, values in zip(sets.sets, sets.values, strict=True):
        message = rounded(Sparse(shape.size, indices, values), rounding)
        data = encode(message)
        if decode(data, size=shape.size) != message:
            raise AssertionError(f"{shape.name}, {rounding}: the decoded message differs")
        index = len(encode_indices(indices, shape.size))
        value = len(encode_values(message.values, message.step)[1])
        rows.append(PayloadRow(shape, rounding, len(data), index, value))
    return max(rows, key=lambda row: row.payload)


def measure_tiny(size: int, count: int, rounding: str) -> PayloadRow:
    """Measure the longest payload over all positions, or 500 random choices of them."""
    rng = np.random.default_rng(2)
    choices = list(combinations(range(size), count))
    if len(choices) > 500:
        choices = [choices[place] for place in rng.choice(len(choices), 500, replace=False)]
    values = tuple(rng.normal(size=count).astype(np.float32) for _ in choices)
    shape = Shape("tiny", size, count)
    return measure_payload(IndexSets(shape, tuple(map(np.array, choices)), values), rounding)


def measure_times(recorded: Sequence[IndexSets]) -> list[TimeRow]:
    """Time coding of 10⁵ uniform indices, of payloads with them, and of a recorded set."""
    sets = uniform(10**7, TIMED, np.random.default_rng(1))
    message = Sparse(sets.shape.size, sets.sets[0], sets.values[0])
    vector = np.random.default_rng(3).normal(size=10**7).astype(np.float32)
    floor = Case("floor: one abs-max pass of float32", lambda: abs_max_pass(vector))
    timed = [(floor, vector.size), *_index_cases(sets)]
    if recorded:
        timed += _index_cases(max(recorded, key=lambda s: (s.shape.count, s.shape.step)))
    for rounding in ("float32", "natural"):
        timed += _payload_cases(f"payload, {rounding}", rounded(message, rounding))
    times = time_interleaved([case for case, _ in timed], REPEATS)
    return [TimeRow(case.name, count, times[case.name]) for case, count in timed]


def _index_cases(sets: IndexSets) -> list[tuple[Case, int]]:
    indices, size, name = sets.sets[0], sets.shape.size, f"indices, {sets.shape.name}"
    data = encode_indices(indices, size)

    def both() -> None:
        decode_indices(Reader(encode_indices(indices, size)), indices.size, size)

    cases = (
        Case(f"{name}: encode", lambda: encode_indices(indices, size)),
        Case(f"{name}: decode", lambda: decode_indices(Reader(data), indices.size, size)),
        Case(f"{name}: both", both),
    )
    return [(case, indices.size) for case in cases]


def _payload_cases(name: str, message: Sparse) -> list[tuple[Case, int]]:
    data = encode(message)
    cases = (
        Case(f"{name}: encode", lambda: encode(message)),
        Case(f"{name}: decode", lambda: decode(data, size=message.size)),
    )
    return [(case, message.indices.size) for case in cases]


def index_targets(rows: Sequence[IndexRow]) -> list[Target]:
    """Return the targets of uniform sets from d = 10⁶ on, then those of recorded ones."""
    targets = []
    for row in rows:
        shape = row.shape
        if shape.step is None and shape.size >= 10**6:
            limit = 1.02 * row.limit * shape.count / 8 + 16
            name = f"index bytes, {shape.name}: ≤ 1.02 × limit + 16 B"
            targets.append(Target(name, row.coded * shape.count / 8, limit, "B"))
    for row in rows:
        if row.target is not None:
            name = f"index bits / uniform limit, recorded {row.shape.name}"
            targets.append(Target(name, row.coded / row.limit, row.target, "×"))
    return targets


def payload_targets(rows: Sequence[PayloadRow], tiny: Sequence[PayloadRow]) -> list[Target]:
    """Return the targets of natural compression, of framing and of tiny payloads."""
    targets = []
    for row in rows:
        if row.rounding == "natural" and row.shape.step is not None:
            name = f"Top-k∘natural, bits per coordinate, recorded {row.shape.name}"
            targets.append(Target(name, row.bits, 9, "bits"))
    worst = max(row.framing for row in [*rows, *tiny])
    targets.append(Target("framing of any payload above", worst, 24, "B"))
    for row in tiny:
        name = f"whole payload, d = {row.shape.size}, k = {row.shape.count}, {row.rounding}"
        targets.append(Target(name, row.payload, 24, "B"))
    return targets


def time_target(rows: Sequence[TimeRow]) -> Target:
    """Return the target for the time of 10⁵ uniform indices."""
    row = next(row for row in rows if row.name.endswith(": both"))
    name = f"encode + decode of {power(TIMED)} uniform indices, best of {REPEATS}"
    return Target(name, row.times.best * 1e3, 2, "ms")


def main() -> None:
    """Measure, print and write."""
    parser = new_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="recorded differences")
    arguments = parser.parse_args()
    facts, console, watch = machine(), new_console(), Stopwatch()

    recorded = recorded_sets(arguments.folder) if arguments.folder else []
    all_sets = uniform_sets(np.random.default_rng(0)) + recorded
    indices = [measure_indices(sets) for sets in all_sets]
    kept = [sets for sets in all_sets if sets.shape.size >= 10**4]
    payloads = [measure_payload(sets, rounding) for sets in kept for rounding in ROUNDINGS]
    tiny = [measure_tiny(300, 1, "float32"), measure_tiny(68, 3, "natural")]
    times = measure_times(recorded)
    targets = [*index_targets(indices), *payload_targets(payloads, tiny), time_target(times)]

    console.print(machine_line(facts), highlight=False)
    tables = [uniform_table(indices), *([recorded_table(indices)] if recorded else [])]
    tables += [payload_table(payloads), tiny_table(tiny), time_table(times), target_table(targets)]
    for table in tables:
        console.print(table)
    if not recorded:
        console.print("no FOLDER of recorded differences given: their targets are not measured")
    console.print(watch.line(), highlight=False)
    if arguments.json:
        rows = {"indices": indices, "payloads": payloads, "tiny": tiny, "times": times}
        plain = {name: [asdict(row) for row in kind] for name, kind in rows.items()}
        write_json(arguments.json, facts, plain, targets)
    if arguments.figure:
        draw(indices, payloads, arguments.figure, machine_line(facts))


if __name__ == "__main__":
    main()
