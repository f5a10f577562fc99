"""What Flower adds to a payload: bytes of a reply's Message objects, by number of layers.

Run: python benchmarks/framing.py [--json PATH]
"""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from rich.console import Console
from rich.table import Table

from fl_ef21 import EF21, TopK, ef21_mod
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.protocol import reply_of
from fl_ef21.flower.server.meter import measure

LAYERS, ELEMENTS, TARGET = (1, 10, 50, 200), 200, 1100


def replies(strategy, layers: int, mods) -> list[Message]:
    """Return the replies of two rounds with two clients."""
    app, passed = ClientApp(mods=mods), []

    @app.train()
    def train(message: Message, _) -> Message:
        rng = np.random.default_rng(len(passed))
        arrays = {
            name: Array(array.numpy() - rng.normal(size=array.shape).astype(np.float32))
            for name, array in message.content["arrays"].items()
        }
        metrics = MetricRecord({"loss": 0.5, "num-examples": 100})
        content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
        return Message(content, reply_to=message)

    model = {f"layer{i}.weight": Array(np.zeros(ELEMENTS, np.float32)) for i in range(layers)}
    grid = InProcessGrid(app, partition_configs(2), tap=passed.append)
    strategy.start(grid, ArrayRecord(model), num_rounds=2)
    return [message for message in passed if message.metadata.reply_to_message_id]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)

    table = Table("layers", "payload, B", "framing, B", "target, B", "FedAvg's framing, B")
    rows = []
    for layers in LAYERS:
        ours = replies(EF21(TopK(0.01), fraction_evaluate=0.0), layers, [ef21_mod])[-1]
        theirs = replies(FedAvg(fraction_evaluate=0.0), layers, [])[-1]
        payload = len(reply_of(ours.content["arrays"])[1])
        framing = measure([ours]).total - payload
        dense = measure([theirs]).total - layers * ELEMENTS * 4
        met = framing <= TARGET
        rows.append({"layers": layers, "payload": payload, "framing": framing, "fedavg": dense})
        mark = "met" if met else "MISSED"
        table.add_row(str(layers), str(payload), str(framing), f"{TARGET} {mark}", f"{dense:,}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
