"""A small strongly convex federated problem as a Flower app, for tests of strategies."""

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21 import ef21_mod
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.theory import Constants

CLIENTS, SIZE = 4, 12


class Quadratics:
    """f_i(x) = ½ Σ_l h_il (x_l − c_il)², with rows of different curvature."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.h = 10.0 ** rng.uniform(-1, 0, (CLIENTS, SIZE)) * np.array([[1], [1], [2], [5]])
        self.c = rng.normal(size=(CLIENTS, SIZE))
        self.best = (self.h * self.c).sum(0) / self.h.sum(0)
        self.constants = Constants(L=self.h.mean(0).max(), L_i=self.h.max(1))
        self.models: list[tuple[int, bytes, dict]] = []

    def loss(self, i, x):
        return 0.5 * float(self.h[i] @ (x - self.c[i]) ** 2)

    def value(self, x):
        return np.mean([self.loss(i, x) for i in range(CLIENTS)])

    def gradient(self, i, x):
        return self.h[i] * (x - self.c[i])

    def app(self, metrics=None):
        """The app; it notes the models and configs that it is given."""
        app = ClientApp(mods=[ef21_mod])

        @app.train()
        def train(message, context):
            i = context.node_config["partition-id"]
            x = message.content["arrays"]["x"].numpy()
            self.models.append((i, x.tobytes(), dict(message.content["config"])))
            told = {"num-examples": 1, "loss": self.loss(i, x), **(metrics(i) if metrics else {})}
            told = {name: value for name, value in told.items() if value is not None}
            arrays = ArrayRecord({"x": Array(self.gradient(i, x))})
            content = RecordDict({"arrays": arrays, "metrics": MetricRecord(told)})
            return Message(content, reply_to=message)

        @app.evaluate()
        def evaluate(message, context):
            i = context.node_config["partition-id"]
            x = message.content["arrays"]["x"].numpy()
            told = {"num-examples": 1, "loss": self.loss(i, x)}
            return Message(RecordDict({"metrics": MetricRecord(told)}), reply_to=message)

        return app

    def run(self, strategy, rounds=5, grid_class=InProcessGrid, metrics=None, **kwargs):
        """Run a strategy; return its iterates, the last one included, and the grid."""
        grid = grid_class(self.app(metrics), partition_configs(CLIENTS), **kwargs)
        iterates = []
        strategy.start(
            grid,
            ArrayRecord({"x": Array(np.zeros(SIZE))}),
            num_rounds=rounds,
            callbacks=[lambda _, arrays: iterates.append(arrays["x"].numpy())],
        )
        return np.array(iterates), grid


def options(**more):
    return {"signal": "gradient", "fraction_evaluate": 0.0, **more}
