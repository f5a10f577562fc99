"""What reliability costs: a round of a large ledger, bytes of the protocol, a client's state.

python benchmarks/ledger.py --json ledger.json --figure ledger.png
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
from _report import (
    Target,
    machine,
    machine_line,
    new_console,
    new_parser,
    new_table,
    save_figure,
    target_table,
    write_json,
)
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fl_ef21.compressors import TopK
from fl_ef21.flower.client.log import ClientLog, Pending
from fl_ef21.flower.protocol import Ack, Instruction, Reply, chain, origin
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.server.checking import CheckedReply
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.flower.server.mirroring import Mirroring
from fl_ef21.methods import EF21
from fl_ef21.wire import decode, encode

CLIENTS: Final = (1_000, 10_000, 100_000)
A_ROUND: Final = 100
ROUNDS: Final = 20
DIMENSION: Final = 1_000
EPOCH: Final = b"an epoch"
KINDS: Final = (
    ("ram", "ram", False),
    ("disk", "disk", False),
    ("disk, with checkpoints", "disk", True),
)
"""Name, kind of mirrors, and whether every round ends on the disk."""

CAPTION: Final = "Measured: what the ledger does for a round, decoding and checkpoints left out."


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = new_parser(__doc__)
    parser.add_argument("--size", type=int, default=DIMENSION, help="dimension d of the model")
    arguments = parser.parse_args()
    console, facts = new_console(), machine()
    rounds = {
        (clients, kind): list(_rounds(clients, mirror, arguments.size, durable=durable))
        for clients in CLIENTS
        for kind, mirror, durable in KINDS
    }
    table = new_table(
        f"A round of {A_ROUND} replies, d = {arguments.size:,}, Top-1 %, milliseconds",
        "clients that have joined",
        "mirrors",
        "median",
        "worst",
    )
    for (clients, mirror), seconds in rounds.items():
        row = 1e3 * np.median(seconds), 1e3 * max(seconds)
        table.add_row(f"{clients:,}", mirror, *(f"{value:.1f}" for value in row))
    console.print(table)

    fields, state = _protocol_bytes(), _state_share(1_000_000)
    worst = 1e3 * float(np.median(rounds[CLIENTS[-1], "disk"]))
    targets = [
        Target("round of 100 of 10⁵ clients, mirrors on disk", worst, 50, "ms"),
        Target("protocol fields of an instruction", fields["instruction"], 120, "bytes"),
        Target("protocol fields of a reply", fields["reply"], 120, "bytes"),
        Target("a client's state beside its message, d = 10⁶", state, 2, "models"),
    ]
    console.print(target_table(targets))
    console.print(machine_line(facts))
    if arguments.json:
        rows = [
            {"clients": c, "mirror": m, "seconds": seconds} for (c, m), seconds in rounds.items()
        ]
        write_json(arguments.json, facts, {"rounds": rows, "bytes": fields}, targets)
    if arguments.figure:
        save_figure(_figure(rounds), arguments.figure, CAPTION)


def _rounds(clients: int, mirror: str, size: int, *, durable: bool = False) -> Iterator[float]:
    """Yield the seconds that the ledger needs for rounds of replies, mirrors written down."""
    arrays = ArrayRecord({"x": Array(np.zeros(size, np.float32))})
    layout, method = Layout.of(arrays), EF21()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) if durable else None
        mirroring = Mirroring(mirror, kept, method)
        mirrors = mirroring.make(EPOCH, size, layout.dtype)
        ledger = Ledger(EPOCH, layout, method.estimate(size, layout.dtype, mirrors))
        compressor, rng = TopK(0.01), np.random.default_rng(0)
        for place in range(clients):
            ledger.names.note(place, f"partition-id={place}")
        last = {place: Ack() for place in range(clients)}
        nodes = range(clients)
        ledger.begin_round(1)
        for place in nodes:
            ledger.apply(_reply(place, 1, last, rng, compressor, size), nodes)
        ledger.estimate.settle()
        for number in range(2, ROUNDS + 2):
            drawn = rng.choice(clients, A_ROUND, replace=False)
            replies = [_reply(int(p), number, last, rng, compressor, size) for p in drawn]
            started = perf_counter()
            ledger.begin_round(number)
            ledger.drop_unnamed(nodes)
            for reply in replies:
                ledger.ack(reply.node_id)
                ledger.apply(reply, nodes)
            ledger.estimate.mean()
            ledger.estimate.settle()
            yield perf_counter() - started


def _reply(
    place: int,
    number: int,
    last: dict[int, Ack],
    rng: np.random.Generator,
    compressor: TopK,
    size: int,
) -> CheckedReply:
    client = f"partition-id={place}"
    signal = rng.standard_normal(size, np.float32)
    payload = encode(compressor.compress(signal, rng))
    before = last[place].digest or origin(EPOCH, client, number)
    position = last[place] = Ack(last[place].seq + 1, chain(before, payload))
    about = Reply(client, position.seq, position.digest)
    message = decode(payload, size=size)
    return CheckedReply(place, about, payload, message, [], 1.0, MetricRecord())


def _protocol_bytes() -> dict[str, int]:
    """Return the bytes that the log's fields take: epoch, round, ack; key, number, digest, norms.

    As they lie in the records, names included; what method and compressor are called is not the
    log's.
    """
    instruction = Instruction(EPOCH, 100, "ef21", "topk:0.01", 0, 99, b"8 bytes.")
    record = instruction.to_record()
    named = ("epoch", "round", "seq", "digest", "seed")
    kept = ConfigRecord({name: record[name] for name in named})
    reply = Reply("partition-id=12345", 99, b"8 bytes.", 1.0, 1.0)
    return {
        "instruction": len(RecordDict({"fl_ef21": kept})["fl_ef21"].deflate()),
        "reply": len(reply.pack(b"")),
    }


def _state_share(size: int) -> float:
    """Return the bytes of a client's state but for the pending message, in models."""
    rng, method = np.random.default_rng(0), EF21()
    state = method.start(size, np.dtype(np.float32))
    payload = encode(TopK(0.01).compress(rng.standard_normal(size, np.float32), rng))
    records = RecordDict()
    ClientLog(EPOCH, Ack(1, b"8 bytes."), state, Pending(Ack(2, b"8 bytes."), payload)).store(
        records
    )
    held = sum(
        len(array.data) for record in records.array_records.values() for array in record.values()
    )
    return held / (4 * size)


def _figure(rounds: dict[tuple[int, str], list[float]]) -> Figure:
    figure = Figure(figsize=(6, 3.8), dpi=150, layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0.08, 1, 0.92))  # the caption stands below
    axes = figure.subplots()
    for (kind, _, _), marker in zip(KINDS, "osD", strict=True):
        times = [1e3 * float(np.median(rounds[clients, kind])) for clients in CLIENTS]
        axes.plot(CLIENTS, times, marker=marker, label=f"mirrors: {kind}")
    axes.axhline(50, color="0.5", linestyle="--", linewidth=1, label="target: 50 ms")
    axes.set(xscale="log", yscale="log", xlabel="clients that have joined")
    axes.set(ylabel="a round of 100 replies, milliseconds")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0.2, 100)
    axes.legend(frameon=False, loc="lower right")
    return figure


if __name__ == "__main__":
    main()
