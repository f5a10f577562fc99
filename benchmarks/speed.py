"""What a round costs in time and memory, against floors of the machine and what is used today.

Run: python benchmarks/speed.py [--size 10000000] [--ratio 0.01] [--repeats 30] [--json PATH]
         [--figure PATH.png]

One thread. Everything is timed in the same run, in turn, as CPU time of the process; ratios are
between best times.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy and torch are imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import tracemalloc
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import torch
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
from _speed_data import CLIENTS, Client, Server, clustered, flower_records, normal
from _speed_report import compressor_table, draw, memory_table, time_table
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

from fl_ef21.compressors import Sparse, from_text
from fl_ef21.wire import decode, encode

COMPRESSORS: Final = (
    "identity",
    "float16",
    "bfloat16",
    "natural",
    "natural-nearest",
    "natural-dithering:4",
    "qsgd:16",
    "uniform:4",
    "ternary",
    "sign",
    "topk:0.01",
    "topk:0.01|bfloat16",
    "topk:0.01|natural",
    "randk:0.01",
    "randk:0.01|natural",
)
COMPRESSED_SIZE: Final = 10**6
BYTES_PER_COORDINATE: Final = 400
TARGETS_FROM: Final = 10**7

ABS_MAX, SUBTRACT, COPY = "abs-max pass", "np.subtract", "copy"
TOP_K, ARGPARTITION, TORCH = "TopK.compress", "np.argpartition of |v|", "torch.topk of |v|"
STEP, SERVER, FLOWER = "client step", "server, per client", "Flower's mean"


@dataclass(frozen=True)
class TimeRow:
    """Times of one case, and the case that it is measured against, if there is one."""

    name: str
    times: Times
    floor: str | None
    floor_times: Times | None

    @property
    def ratio(self) -> float:
        """Best time over the floor's best time."""
        return self.times.best / self.floor_times.best

    @property
    def median_ratio(self) -> float:
        """The same of the medians."""
        return self.times.median / self.floor_times.median


@dataclass(frozen=True)
class MemoryRow:
    """Peak of the memory that a server step allocates, in bytes."""

    name: str
    size: int
    count: int
    peak: int


@dataclass(frozen=True)
class CompressorRow:
    """Times of a compressor and of its messages' bytes, and their number."""

    text: str
    size: int
    payload: int
    compress: Times
    encode: Times
    decode: Times


def measure_times(size: int, ratio: float, repeats: int) -> list[TimeRow]:
    """Time floors, selection, client step and server step, each in turn."""
    rng = np.random.default_rng(0)
    client, server = Client(size, ratio, rng), Server(size, rng)
    cases = {
        **_floors(client),
        **_selection(client),
        **_client_cases(client),
        **_server_cases(client.message, server, rng),
    }
    times = time_interleaved([case for case, _ in cases.values()], repeats)
    flower = times[FLOWER]
    times[FLOWER] = Times(flower.best / CLIENTS, flower.median / CLIENTS)
    return [
        TimeRow(name, times[name], floor, times[floor] if floor else None)
        for name, (_, floor) in cases.items()
    ]


Timed = dict[str, tuple[Case, str | None]]


def _timed(name: str, run, floor: str | None = None, prepare=lambda: None) -> Timed:
    return {name: (Case(name, run, prepare), floor)}


def _floors(client: Client) -> Timed:
    signal, estimate = client.signal, client.before
    scratch = np.empty_like(signal)
    return {
        **_timed(ABS_MAX, lambda: abs_max_pass(signal)),
        **_timed(SUBTRACT, lambda: np.subtract(signal, estimate, out=scratch)),
        **_timed(COPY, lambda: np.copyto(scratch, signal)),
    }


def _selection(client: Client) -> Timed:
    signal, compressor = client.signal, client.compressor
    count = compressor.count(signal.size)
    tensor = torch.from_numpy(signal)
    return {
        **_timed(TOP_K, lambda: compressor.compress(signal, client.rng), ABS_MAX),
        **_timed(ARGPARTITION, lambda: np.argpartition(np.abs(signal), -count), ABS_MAX),
        **_timed(TORCH, lambda: torch.topk(tensor.abs(), count), ABS_MAX),
    }


def _client_cases(client: Client) -> Timed:
    message = client.message
    return {
        **_timed(STEP, client.step, SUBTRACT, client.restore),
        **_timed("  difference and Top-k", client.compress, SUBTRACT, client.restore),
        **_timed("  encode", lambda: encode(message), SUBTRACT),
        **_timed("  commit in place", lambda: client.commit(message), SUBTRACT, client.restore),
    }


def _server_cases(message: Sparse, server: Server, rng: np.random.Generator) -> Timed:
    payload = encode(message)
    real = clustered(message.size, message.indices.size, rng)
    real_payload = encode(real)
    records = flower_records(message.size, rng)
    return {
        **_timed(FLOWER, lambda: aggregate_arrayrecords(records, "num-examples")),
        **_timed(SERVER, lambda: server.receive(payload), FLOWER),
        **_timed("  decode", lambda: decode(payload, size=message.size), FLOWER),
        **_timed("  fold", lambda: server.fold(message), FLOWER),
        **_timed("clustered: encode", lambda: encode(real), SUBTRACT),
        **_timed("clustered: server", lambda: server.receive(real_payload), FLOWER),
    }


def measure_memory(size: int, ratio: float) -> list[MemoryRow]:
    """Trace what a server step allocates, for d and for d/10 with the same k."""
    rng, rows = np.random.default_rng(1), []
    count = max(1, int(ratio * size))
    for dimension in (size, size // 10):
        server = Server(dimension, rng)
        positions = np.sort(rng.choice(dimension, count, replace=False, shuffle=False))
        message = Sparse(dimension, positions, normal(count, rng))
        rows.append(_traced("uniform positions", message, server))
        rows.append(_traced("clustered positions", clustered(dimension, count, rng), server))
    return rows


def _traced(name: str, message: Sparse, server: Server) -> MemoryRow:
    payload = encode(message)
    tracemalloc.start()
    server.receive(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return MemoryRow(name, message.size, message.indices.size, peak)


def measure_compressors(repeats: int) -> list[CompressorRow]:
    """Time every compressor on one vector of normal values."""
    rng = np.random.default_rng(2)
    vector = normal(COMPRESSED_SIZE, rng)
    cases, payloads = [], {}
    for text in COMPRESSORS:
        compressor = from_text(text)
        message = compressor.compress(vector, rng)
        payloads[text] = encode(message)
        cases += [
            Case(f"{text} compress", lambda c=compressor: c.compress(vector, rng)),
            Case(f"{text} encode", lambda m=message: encode(m)),
            Case(f"{text} decode", lambda p=payloads[text]: decode(p, size=vector.size)),
        ]
    times = time_interleaved(cases, repeats)
    return [
        CompressorRow(
            text,
            vector.size,
            len(payload),
            *(times[f"{text} {part}"] for part in ("compress", "encode", "decode")),
        )
        for text, payload in payloads.items()
    ]


def all_targets(times: list[TimeRow], memory: list[MemoryRow]) -> list[Target]:
    """Return every target of speed and memory."""
    rows = {row.name: row for row in times}
    faster = rows[TORCH].times.best / rows[TOP_K].times.best
    cheaper = rows[FLOWER].times.best / rows[SERVER].times.best
    peaks = [row.peak / row.count for row in memory]
    growth = max(peaks[0] / peaks[2], peaks[1] / peaks[3])
    return [
        Target("exact Top-k / abs-max pass", rows[TOP_K].ratio, 3.5, "×"),
        Target("exact Top-k, faster than torch.topk by", faster, 20, "×", at_least=True),
        Target("client step / np.subtract", rows[STEP].ratio, 3.5, "×"),
        Target("server, cheaper than Flower's mean by", cheaper, 3, "×", at_least=True),
        Target("server, peak memory per kept coordinate", max(peaks), BYTES_PER_COORDINATE, "B"),
        Target("server, peak memory per coordinate, d against d/10", growth, 1.25, "×"),
    ]


def main() -> None:
    """Measure, print and write."""
    parser = new_parser(__doc__)
    parser.add_argument("--size", type=int, default=10**7, help="dimension d")
    parser.add_argument("--ratio", type=float, default=0.01, help="k/d, at most 0.05")
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    if arguments.size < 1000 or not 0 < arguments.ratio <= 0.05 or arguments.repeats < 1:
        parser.error("choose --size from 1000, --ratio in (0, 0.05] and --repeats from 1")
    torch.set_num_threads(1)
    watch = Stopwatch()
    facts, console = machine() | {"torch": torch.__version__}, new_console()

    times = measure_times(arguments.size, arguments.ratio, arguments.repeats)
    memory = measure_memory(arguments.size, arguments.ratio)
    compressors = measure_compressors(min(arguments.repeats, 10))
    targets = all_targets(times, memory)

    title = f"d = {power(arguments.size)}, k/d = {arguments.ratio:g}, best of {arguments.repeats}"
    console.print(f"{machine_line(facts)}, torch {torch.__version__}", highlight=False)
    console.print(time_table(times, title))
    console.print(memory_table(memory))
    console.print(compressor_table(compressors))
    console.print(target_table(targets))
    if arguments.size < TARGETS_FROM:
        console.print(
            f"the targets of time are set for d ≥ {power(TARGETS_FROM)}, not for this size"
        )
    console.print(watch.line(), highlight=False)
    if arguments.json:
        rows = {"times": times, "memory": memory, "compressors": compressors}
        plain = {name: [asdict(row) for row in kind] for name, kind in rows.items()}
        run = {"size": arguments.size, "ratio": arguments.ratio, "repeats": arguments.repeats}
        write_json(arguments.json, facts, run | plain, targets)
    if arguments.figure:
        draw(times, compressors, arguments.figure, f"{title}; {machine_line(facts)}")


if __name__ == "__main__":
    main()
