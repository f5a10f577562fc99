"""A golden problem as an independent few lines of numpy: value, gradient, and a Flower app.

Written against the golden file's own description and not with `fl_ef21.problems`, so that an
error there cannot hide here.
"""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21 import ef21_mod


class GoldenProblem:
    def __init__(self, data):
        self.loss, self.lam = data["loss"], data["lam"]
        self.A = [np.array(a) for a in data["A"]]
        self.b = [np.array(b) for b in data["b"]]
        self.mask = np.array(data["mask"], float)
        self.x0 = np.array(data["x0"], float)
        self.n, self.d = self.mask.shape

    def value_and_gradient(self, i, x, rows=None):
        A, b = self.A[i], self.b[i]
        if rows is not None:
            A, b = A[rows], b[rows]
        z = A @ x
        if self.loss == "logistic":
            value, slope = np.logaddexp(0, -b * z).mean(), -b / (1 + np.exp(b * z))
        else:
            value, slope = 0.5 * np.mean((z - b) ** 2), z - b
        value += self.lam * np.sum(self.mask[i] * x**2 / (1 + x**2))
        gradient = A.T @ slope / len(b) + self.lam * self.mask[i] * 2 * x / (1 + x**2) ** 2
        return value, gradient

    def value(self, x):
        return np.mean([self.value_and_gradient(i, x)[0] for i in range(self.n)])

    def gradient(self, x):
        return np.mean([self.value_and_gradient(i, x)[1] for i in range(self.n)], axis=0)

    def client_app(self, rows=None) -> ClientApp:
        """The app; ``rows[t][i]`` are the minibatches if gradients are stochastic."""
        app = ClientApp(mods=[ef21_mod])

        @app.train()
        def train(message: Message, context: Context) -> Message:
            i = context.node_config["partition-id"]
            t = message.content["config"]["server-round"] - 1
            x, batch = message.content["arrays"]["x"].numpy(), rows[t][i] if rows else None
            value, gradient = self.value_and_gradient(i, x, batch)
            content = RecordDict(
                {
                    "arrays": ArrayRecord({"x": Array(gradient)}),
                    "metrics": MetricRecord({"num-examples": 1, "loss": float(value)}),
                }
            )
            return Message(content, reply_to=message)

        return app

    def arrays(self) -> ArrayRecord:
        return ArrayRecord({"x": Array(self.x0)})
