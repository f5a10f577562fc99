"""An ordinary client app: it returns the gradient of its own loss. The mod does the rest."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from task import draw_rows, load_federation, loss, smoothness

from fl_ef21 import ef21_mod
from fl_ef21.flower.protocol.seeding import minibatch_seed

app = ClientApp(mods=[ef21_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return this client's gradient at the model, and its loss there."""
    config = message.content["config"]
    client = int(context.node_config["partition-id"])
    federation = load_federation(context.run_config, int(config["clients"]))
    objective = federation.objectives[client]
    # Where all clients count alike, each answers for its share of the rows itself.
    share = len(federation.rows) * federation.weights[client] if config.get("alike") else 1.0

    weights = message.content["arrays"]["weights"].numpy()
    x = weights.astype(np.float64)
    drawn = draw_rows(objective, _rows(config, context), _seed(config, context, client))
    value, gradient = drawn.value_and_gradient(x)

    metrics = {"loss": value, "num-examples": len(objective.targets)}
    if drawn is not objective:
        metrics |= {"loss": loss(objective, x), "minibatch-loss": value}
    if config.get("report-smoothness"):
        metrics["smoothness"] = share * smoothness(objective)
    content = RecordDict(
        {
            "arrays": ArrayRecord({"weights": Array((share * gradient).astype(weights.dtype))}),
            "metrics": MetricRecord(metrics),
        }
    )
    return Message(content, reply_to=message)


def _rows(config: ConfigRecord, context: Context) -> int:
    """Return how many rows the gradient takes, 0 for all; EF21-PAGE asks for all now and then."""
    return 0 if config.get("full-gradient") else int(context.run_config["minibatch"])


def _seed(config: ConfigRecord, context: Context, client: int) -> int:
    """Return what decides the rows; EF21-PAGE says it, as it asks twice for the same ones."""
    if "minibatch-seed" in config:
        return int(config["minibatch-seed"])
    seed, server_round = int(context.run_config["seed"]), int(config["server-round"])
    return minibatch_seed(seed, f"partition-id={client}", server_round)
