"""An ordinary Flower client whose training adds noise, some weights far more than others."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21 import ef21_mod

app = ClientApp()


@app.train(mods=[ef21_mod])
def train(message: Message, context: Context) -> Message:
    """Return the model after one step."""
    return trained(message, context)


@app.train("plain")
def plain(message: Message, context: Context) -> Message:
    """Return the model after one step, as it is."""
    return trained(message, context)


def trained(message: Message, context: Context) -> Message:
    """Return the model, moved as far as a heavy-tailed draw says."""
    told = message.content["config"]
    rng = np.random.default_rng([int(context.node_config["partition-id"]), told["server-round"]])
    arrays = {
        name: Array(array.numpy() + 1e-3 * rng.standard_t(3, array.shape).astype(np.float32))
        for name, array in message.content["arrays"].items()
    }
    content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1})}
    return Message(RecordDict(content), reply_to=message)
