"""A small federation of quadratics in float64, whose floor of ‖∇f‖² is known."""

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21 import EF21, TopK, ef21_mod
from fl_ef21.engine import InProcessGrid

CLIENTS, DIMENSION = 5, 12
RNG = np.random.default_rng(7)
HESSIANS = [np.diag(RNG.uniform(0.1, 2.0, DIMENSION)) for _ in range(CLIENTS)]
OPTIMA = RNG.normal(size=(CLIENTS, DIMENSION))


def gradient(client: int, x: np.ndarray) -> np.ndarray:
    return HESSIANS[client] @ (x - OPTIMA[client])


def squared_gradient_norm(x: np.ndarray) -> float:
    return float(np.sum(np.mean([gradient(i, x) for i in range(CLIENTS)], axis=0) ** 2))


def quadratic_app(raise_when=lambda context: False) -> ClientApp:
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message, context):
        if raise_when(context):
            raise RuntimeError("out of battery")
        client, x = context.node_config["partition-id"], message.content["arrays"]["x"].numpy()
        g = gradient(client, x)
        told = {"loss": float(g @ (x - OPTIMA[client])) / 2, "smoothness": HESSIANS[client].max()}
        metrics = MetricRecord({"num-examples": 10, **told})
        content = RecordDict({"arrays": ArrayRecord({"x": Array(g)}), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


def strategy(**kwargs) -> EF21:
    options = {"signal": "gradient", "fraction_evaluate": 0.0, "step_size": 0.15}
    return EF21(TopK(k=2), **options | kwargs)


def run(grid: InProcessGrid, rounds: int, ef21: EF21, checks=()) -> np.ndarray:
    arrays = ArrayRecord({"x": Array(np.zeros(DIMENSION))})
    return ef21.start(grid, arrays, num_rounds=rounds, callbacks=checks).arrays["x"].numpy()
