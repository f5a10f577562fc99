"""An ordinary Flower client: one gradient step on its rows of phishing."""

from functools import lru_cache

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21.data import load, partition, partition_from_text
from fl_ef21.problems import federated_objectives

app = ClientApp()


@lru_cache(maxsize=1)
def objectives(clients: int, regularisation: float):
    """Return every client's objective; nodes that share a process load the data once."""
    dataset = load("phishing")
    rows = partition(dataset, partition_from_text("contiguous"), clients, 0)
    return federated_objectives(dataset.features, dataset.labels, rows, regularisation)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return the model after one step of gradient descent."""
    config = context.run_config
    known = objectives(int(config["clients"]), float(config["regularisation"]))
    objective = known[int(context.node_config["partition-id"])]
    x = message.content["arrays"]["x"].numpy()
    arrays = ArrayRecord({"x": Array(x - 0.1 * objective.gradient(x))})
    metrics = MetricRecord({"num-examples": len(objective.targets)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
