"""A client that returns its gradient."""

from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from deployed.faults import Schedule
from deployed.problem import gradient
from fl_ef21 import ef21_mod

app = ClientApp(mods=[ef21_mod])


@app.train()
def train(message, context):
    client = int(context.node_config["partition-id"])
    server_round = int(message.content["config"]["server-round"])
    Schedule.of(context).strike_client(server_round, client, context)
    x = message.content["arrays"]["x"].numpy()
    content = RecordDict(
        {
            "arrays": ArrayRecord({"x": Array(gradient(client, x))}),
            "metrics": MetricRecord({"num-examples": 1 + client, "loss": float(x @ x)}),
        }
    )
    return Message(content, reply_to=message)
