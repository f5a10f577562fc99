"""The naive EF21, whose clients move their state when they send, beside ours under the same faults.

It is what the algorithm box says, word for word, and lives in this benchmark only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from _report import new_table, save_figure
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from matplotlib.figure import Figure
from rich.progress import track

from fl_ef21 import EF21, TopK, ef21_mod
from fl_ef21.engine import partition_configs
from fl_ef21.engine.faults import FaultSchedule, FaultyGrid
from fl_ef21.report.figures import COLOURS, paper_style
from fl_ef21.wire import decode, encode

CLIENTS, DIMENSION, KEPT = 10, 40, 4
ROUNDS, FAULTY_ROUNDS, STEP_SIZE, SEED = 1600, 800, 0.25, 1
RNG: Final = np.random.default_rng(0)
CURVATURES: Final = RNG.uniform(0.2, 1.0, (CLIENTS, DIMENSION))
CENTRES: Final = RNG.normal(size=(CLIENTS, DIMENSION))
FAULTS: Final = {
    "no faults": (),
    "1 % of replies lost": (("lose-reply", 0.01),),
    "0.1 % restarts": (("lose-state", 0.001),),
}


@dataclass(frozen=True)
class Curve:
    """‖∇f‖ after every round of one run.

    Attributes
    ----------
    version : str
        ``naive`` or ``fl-ef21``.
    faults : str
        One of ``FAULTS``.
    injected : int
        How many there were.
    norms : list of float
        From round 0.
    """

    version: str
    faults: str
    injected: int
    norms: list[float]


def gradients(x: np.ndarray) -> np.ndarray:
    """Return all ∇fᵢ(x), shape (n, d)."""
    return CURVATURES * (x - CENTRES)


def norm(arrays: ArrayRecord) -> float:
    """Return ‖∇f(x)‖."""
    return float(np.linalg.norm(gradients(arrays["x"].numpy()).mean(0)))


def gradient_app(mods) -> ClientApp:
    """Return an app that answers with its gradient."""
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context) -> Message:
        x = message.content["arrays"]["x"].numpy()
        told = Array(gradients(x)[context.node_config["partition-id"]])
        metrics = MetricRecord({"num-examples": 1})
        content = RecordDict({"arrays": ArrayRecord({"x": told}), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


def naive_mod(message: Message, context, call_next) -> Message:
    """Send C(∇fᵢ − gᵢ), and add it to gᵢ at once."""
    reply = call_next(message, context)
    signal = reply.content["arrays"]["x"].numpy()
    known = context.state.get("estimate")
    estimate = known["g"].numpy() if known else np.zeros_like(signal)
    encoded = encode(TopK(KEPT).compress_difference(signal, estimate, np.random.default_rng(0)))
    decode(encoded, size=signal.size).add_to(estimate)
    context.state["estimate"] = ArrayRecord({"g": Array(estimate)})
    reply.content["arrays"] = ArrayRecord({"c": Array("uint8", (len(encoded),), "", encoded)})
    return reply


class NaiveStrategy(FedAvg):
    """g ← g + Σ cᵢ/n over the replies that arrive, x ← x − γ g."""

    def __init__(self, **fedavg) -> None:
        super().__init__(**fedavg)
        self.estimate = np.zeros(DIMENSION)
        self.norms: list[float] = []

    def configure_train(self, server_round, arrays, config, grid):
        """Note the model, and send it as FedAvg does."""
        self.model = arrays["x"].numpy()
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):  # noqa: ARG002
        """Fold what has come and step."""
        for reply in replies:
            message = decode(reply.content["arrays"]["c"].data, size=DIMENSION)
            self.estimate += message.to_dense() / CLIENTS
        arrays = ArrayRecord({"x": Array(self.model - STEP_SIZE * self.estimate)})
        self.norms.append(norm(arrays))
        return arrays, MetricRecord()


def curve(version: str, faults: str) -> Curve:
    """Run one version under some faults, which stop half way."""
    (kind, rate), *_ = FAULTS[faults] or (("lose-reply", 0.0),)
    schedule = FaultSchedule.from_seed(
        SEED, clients=CLIENTS, exchanges=FAULTY_ROUNDS, rate=rate, crash_rate=0, kinds=[kind]
    )
    mod = ef21_mod if version == "fl-ef21" else naive_mod
    grid = FaultyGrid(gradient_app([mod]), partition_configs(CLIENTS), schedule)
    start = ArrayRecord({"x": Array(np.zeros(DIMENSION))})
    norms = [norm(start)]
    if version == "fl-ef21":
        ours = EF21(TopK(KEPT), STEP_SIZE, signal="gradient", fraction_evaluate=0.0)
        note = [lambda _row, arrays: norms.append(norm(arrays))]
        ours.start(grid, start, num_rounds=ROUNDS, callbacks=note)
    else:
        naive = NaiveStrategy(fraction_evaluate=0.0)
        naive.start(grid, start, num_rounds=ROUNDS)
        norms += naive.norms
    return Curve(version, faults, grid.injected.total(), norms)


def curves(console) -> list[Curve]:
    """Run both versions under all faults."""
    cases = [(version, faults) for version in ("naive", "fl-ef21") for faults in FAULTS]
    return [curve(*case) for case in track(cases, "naive and ours", console=console)]


def curve_table(shown: list[Curve]):
    """Lay out where each run was when faults stopped, and where it ended."""
    table = new_table(
        f"‖∇f‖: EF21 Top-{KEPT} of {DIMENSION}, {CLIENTS} clients, float64, {ROUNDS} rounds",
        "faults, in the first half",
        "version",
        "injected",
        f"after round {FAULTY_ROUNDS}",
        f"after round {ROUNDS}",
    )
    for curve_ in sorted(shown, key=lambda c: list(FAULTS).index(c.faults)):
        at = curve_.norms
        table.add_row(
            curve_.faults,
            curve_.version,
            str(curve_.injected),
            f"{at[FAULTY_ROUNDS]:.1e}",
            f"{at[-1]:.1e}",
        )
    return table


def draw(shown: list[Curve], path: Path, facts: str) -> None:
    """Draw ‖∇f‖ against rounds."""
    with paper_style():
        figure = Figure(figsize=(9, 5), layout="constrained")
        figure.get_layout_engine().set(rect=(0, 0.09, 1, 0.91))
        axes = figure.add_subplot()
        axes.axvspan(0, FAULTY_ROUNDS, color="#f2f2f2")
        axes.text(FAULTY_ROUNDS - 15, 3, "faults stop here", ha="right", va="center", color="#444")
        for place, faults in enumerate(FAULTS):
            for curve_ in (c for c in shown if c.faults == faults):
                ours = curve_.version == "fl-ef21"
                if faults == "no faults" and not ours:
                    continue
                axes.plot(
                    curve_.norms,
                    color="#000000" if faults == "no faults" else COLOURS[place - 1],
                    linestyle="-" if ours else "--",
                    zorder=3 if faults == "no faults" else 2,
                    linewidth=1 if faults == "no faults" else 1.8,
                    label=faults if faults == "no faults" else f"{faults}, {curve_.version}",
                )
        axes.set(yscale="log", xlabel="Round", ylabel=r"$\|\nabla f(x)\|$", xlim=(0, ROUNDS))
        axes.legend(loc="center right", frameon=False)
        caption = (
            f"EF21 with Top-{KEPT} of {DIMENSION} coordinates, {CLIENTS} clients with strongly "
            f"convex quadratics, float64, step size {STEP_SIZE}, one seed; without faults both "
            f"versions draw the same line, up to rounding. {facts}"
        )
        save_figure(figure, path, caption)
