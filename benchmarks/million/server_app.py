"""FedAvg, then EF21, on the same clients; what came up is written down."""

import json
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fl_ef21 import EF21
from fl_ef21.compressors import from_text
from fl_ef21.flower import Metered

app = ServerApp()
SHAPES = {"hidden": (1000, 1000), "bias": (1000,), "output": (1000, 100)}


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run both, and write the bytes of each."""
    config = context.run_config
    clients = len(list(grid.get_node_ids()))
    strategies = {
        "FedAvg": Metered(FedAvg(fraction_evaluate=0.0, min_available_nodes=1), action="plain"),
        "EF21": EF21(from_text(str(config["compressor"])), fraction_evaluate=0.0),
    }
    found = {}
    for name, strategy in strategies.items():
        start = ArrayRecord({n: Array(np.zeros(s, np.float32)) for n, s in SHAPES.items()})
        strategy.start(grid, start, num_rounds=int(config["rounds"]))
        answered = sum(row.clients for row in strategy.history)
        found[name] = {
            "weights": sum(int(np.prod(shape)) for shape in SHAPES.values()),
            "clients": clients,
            "replies": answered,
            "payload": sum(row.uplink_payload_bytes for row in strategy.history) / answered,
            "message": sum(row.uplink_message_bytes for row in strategy.history) / answered,
        }
    Path(str(config["out"])).write_text(json.dumps(found), encoding="utf-8")
