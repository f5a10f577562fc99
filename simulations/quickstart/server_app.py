"""Train twice, compressed and not, and write down what each has sent and reached."""

import time
from datetime import datetime
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.common import log
from flwr.serverapp import Grid, ServerApp
from methods import strategies, train_config
from task import Federation, load_federation

from fl_ef21 import ErrorFeedbackStrategy
from fl_ef21.flower import RoundRecord
from fl_ef21.report.report import write_report
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.summary import reasons, summarise

app = ServerApp()

SECONDS_TO_CONNECT = 15.0


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    started = time.perf_counter()
    config = context.run_config
    out = _out(str(config["out"]))
    folder = None if config["resume"] else RunFolder.create(out, config)
    clients = _connected_clients(grid, int(config["clients"]))
    federation = load_federation(config, clients)

    rounds, models = int(config["rounds"]), {}
    chosen = strategies(federation, config, out)
    if folder is None:
        done = {name: found.checkpoints.last_round() or -1 for name, found in chosen.items()}
        folder = RunFolder.resumed(out, done, rounds=rounds)
    for label, strategy in chosen.items():
        log(INFO, "Training %s", label)
        told = train_config(federation, config, label)
        models[label] = _train(grid, label, strategy, federation, rounds, folder, told)

    np.savez(folder.path / "model.npz", **models)
    folder.write_summary(
        {
            "study": "quickstart",
            "method": str(config["method"]),
            "status": "completed",
            "seconds": time.perf_counter() - started,
            "problem": _describe(federation),
            "methods": [
                {**totals, **_beside_the_rows(chosen[totals["method"]])}
                for totals in summarise(folder.rows())
            ],
        }
    )
    write_report(folder)
    log(INFO, "Results are in %s", folder.path)


def _train(
    grid: Grid,
    label: str,
    strategy: ErrorFeedbackStrategy,
    federation: Federation,
    rounds: int,
    folder: RunFolder,
    told: ConfigRecord,
) -> np.ndarray:
    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        evaluation = federation.evaluate(arrays["weights"].numpy().astype(np.float64))
        if server_round == 0:
            folder.append(_starting_row(label, strategy, evaluation))
        return MetricRecord(evaluation)

    def record(row: RoundRecord, _: ArrayRecord) -> None:
        folder.append({"method": label, **row.as_row()})

    start = np.zeros(federation.dimension, np.float32)
    result = strategy.start(
        grid,
        ArrayRecord({"weights": Array(start)}),
        num_rounds=rounds,
        train_config=told,
        evaluate_fn=evaluate,
        callbacks=[record],
        resume_from=strategy.checkpoints.resumable(),
    )
    if not any(row.clients for row in strategy.history):
        reasons = strategy.history[0].reasons
        raise RuntimeError(f"no client's reply was accepted in {rounds} rounds: {reasons[0]}")
    return result.arrays["weights"].numpy()


def _starting_row(
    label: str, strategy: ErrorFeedbackStrategy, evaluation: dict[str, float]
) -> dict[str, Any]:
    nothing = RoundRecord.before_the_first(strategy.step_size)
    return {"method": label, **nothing.as_row(), **evaluation}


def _beside_the_rows(strategy: ErrorFeedbackStrategy) -> dict[str, Any]:
    """Return what differs a little from run to run: envelopes, and why replies did not count."""
    envelopes = {
        name: sum(getattr(row, name) for row in strategy.history)
        for name in ("uplink_envelope_bytes", "downlink_envelope_bytes")
    }
    return {**envelopes, "reasons": reasons(strategy.history)}


def _describe(federation: Federation) -> dict[str, Any]:
    constants = federation.constants
    return {
        "data": federation.dataset.name,
        "rows": len(federation.dataset.labels),
        "dimension": federation.dimension,
        "clients": len(federation.objectives),
        "L": constants.L,
        "L_i": constants.L_i,
        "L_AM": constants.arithmetic_mean,
        "L_QM": constants.quadratic_mean,
        "label_counts": federation.label_counts(),
        "class_names": federation.dataset.class_names,
    }


def _connected_clients(grid: Grid, wanted: int) -> int:
    """Wait a little for all clients, then take those that are there."""
    deadline = time.monotonic() + SECONDS_TO_CONNECT
    while (connected := len(list(grid.get_node_ids()))) < wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    if connected < wanted:
        log(
            WARNING,
            "clients=%d, but %d SuperNodes are connected; going on with those. For more: "
            'flwr run . --federation-config "num-supernodes=%d"',
            wanted,
            connected,
            wanted,
        )
    return min(connected, wanted)


def _out(out: str) -> Path:
    if out:
        return Path(out)
    return Path.cwd() / "results" / "quickstart" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
