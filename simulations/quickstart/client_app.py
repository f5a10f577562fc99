"""An ordinary client app: it returns the gradient of its own loss. The mod does the rest."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from task import load_federation

from fl_ef21 import ef21_mod

app = ClientApp(mods=[ef21_mod])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return this client's gradient at the model, and its loss there."""
    clients = int(message.content["config"]["clients"])
    client = int(context.node_config["partition-id"])
    objective = load_federation(context.run_config, clients).objectives[client]

    weights = message.content["arrays"]["weights"].numpy()
    loss, gradient = objective.value_and_gradient(weights.astype(np.float64))

    content = RecordDict(
        {
            "arrays": ArrayRecord({"weights": Array(gradient.astype(weights.dtype))}),
            "metrics": MetricRecord({"loss": loss, "num-examples": len(objective.targets)}),
        }
    )
    return Message(content, reply_to=message)
