"""Train every contender with every seed, and write down what each has sent and reached."""

import time
from datetime import datetime
from pathlib import Path

from checks import ending
from flwr.app import ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from methods import contenders
from task import evaluate, first_model

from fl_ef21.comparison import Task, compare, open_folder

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    started = time.perf_counter()
    config = context.run_config
    rounds = int(config["rounds"])
    folder = open_folder(_out(str(config["out"])), config, rounds)
    task = Task(
        start=first_model,
        evaluate=evaluate,
        told=lambda seed: ConfigRecord({"seed": seed}),
        rounds=rounds,
        every=int(config["evaluate-every"]),
    )
    seeds = [int(seed) for seed in str(config["seeds"]).split(",")]
    compare(grid, task, contenders(config), seeds, folder)
    ending(config).write(folder, time.perf_counter() - started)


def _out(out: str) -> Path:
    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    return Path(out) if out else Path.cwd() / "results" / "mnist" / started
