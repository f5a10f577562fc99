"""Train, and write down the model and the history."""

import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord
from flwr.serverapp import ServerApp

from deployed.faults import Schedule
from deployed.problem import squared_norm
from fl_ef21 import EF21
from fl_ef21.compressors import from_text
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.summary import summarise

app = ServerApp()


@app.main()
def main(grid, context):
    config = context.run_config
    schedule = Schedule.of(context)
    clients, rounds = int(config["clients"]), int(config["rounds"])
    checkpoints = str(config["checkpoint-dir"]) or None
    out = Path(config["out"]) if config["out"] else Path.cwd() / "deployed"
    folder = RunFolder.create(out, config)
    while len(list(grid.get_node_ids())) < clients:
        time.sleep(0.1)
    strategy = EF21(
        from_text(str(config["compressor"])),
        step_size=0.2,
        signal="gradient",
        fraction_evaluate=0.0,
        min_train_nodes=1,
        min_available_nodes=1,
        seed=5,
        checkpoint_dir=checkpoints,
        journal_dir=str(config["journal-dir"]) or None,
    )

    def evaluate(server_round, arrays):
        return MetricRecord({"gradient_norm_squared": squared_norm(clients, arrays["x"].numpy())})

    def note(row, arrays):
        folder.append({"method": "EF21", "loss": None, "accuracy": None, **row.as_row()})
        np.save(folder.path / f"model-{row.round}.npy", arrays["x"].numpy())
        schedule.wait_for_restarts(row.round, grid)

    start = np.random.default_rng(3).normal(size=int(config["size"]))
    strategy.start(
        schedule.watching(grid),
        ArrayRecord({"x": Array(start)}),
        num_rounds=rounds,
        timeout=float(config["timeout"]),
        evaluate_fn=evaluate,
        callbacks=[note],
        resume_from=checkpoints if config["resume"] else None,
    )
    sent = {
        way: sum(
            getattr(row, f"{way}_bytes") + getattr(row, f"{way}_envelope_bytes")
            for row in strategy.history
        )
        for way in ("uplink", "downlink")
    }
    folder.write_summary(
        {
            "study": "deployed",
            "status": "completed",
            "methods": summarise(folder.rows()),
            "message_bytes": sent,
        }
    )
