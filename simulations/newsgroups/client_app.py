"""An ordinary client app: it trains the model that it is sent. The mod does the rest.

The function ``plain`` is for Flower's own strategies, which send no instructions to the mod.
"""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from task import Net
from task import train as train_locally

from fl_ef21 import ef21_mod
from fl_ef21.flower.protocol.seeding import minibatch_seed

app = ClientApp()


@app.train(mods=[ef21_mod])
def train(message: Message, context: Context) -> Message:
    """Return the model after local training."""
    return _trained(message, context)


@app.train("plain")
def plain(message: Message, context: Context) -> Message:
    """Return the model after local training, as it is."""
    return _trained(message, context)


def _trained(message: Message, context: Context) -> Message:
    config = message.content["config"]
    client, seed = int(context.node_config["partition-id"]), int(config["seed"])
    draw = minibatch_seed(seed, f"partition-id={client}", int(config["server-round"]))
    net = Net()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss, examples = train_locally(net, context.run_config, client, seed, draw)
    content = RecordDict(
        {
            "arrays": ArrayRecord(net.state_dict()),
            "metrics": MetricRecord({"train-loss": loss, "num-examples": examples}),
        }
    )
    return Message(content, reply_to=message)
