"""An app as Flower's PyTorch examples have it: state dicts, batch norm, evaluation."""

import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn
from torch.nn import functional

# One thread, as several test processes share the cores.
torch.set_num_threads(1)

CLIENTS, FEATURES, CLASSES = 5, 6, 3


class Clusters:
    """Three clusters of points; every client has most of its points in two of them."""

    def __init__(self):
        rng = np.random.default_rng(3)
        self.centres = 2.5 * rng.normal(size=(CLASSES, FEATURES))
        self.train = [self._drawn(rng, 20 + 20 * i, i % CLASSES) for i in range(CLIENTS)]
        self.test = self._drawn(rng, 300, None)

    def _drawn(self, rng, rows, rare):
        shares = np.full(CLASSES, 1 / CLASSES)
        if rare is not None:
            shares = np.where(np.arange(CLASSES) == rare, 0.04, 0.48)
        labels = rng.choice(CLASSES, rows, p=shares)
        points = self.centres[labels] + rng.normal(size=(rows, FEATURES))
        return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def make_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, CLASSES)
    )


def make_app(mods=(), train_mods=(), epochs=3, data=None, examples=None):
    data = data or Clusters()
    app = ClientApp(mods=list(mods))

    @app.train(mods=list(train_mods))
    def train(message, context):
        net = make_net()
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        points, labels = data.train[context.node_config["partition-id"]]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        net.train()
        running_loss = 0.0
        for _ in range(epochs):
            for batch in torch.arange(len(points)).split(16):
                optimizer.zero_grad()
                loss = functional.cross_entropy(net(points[batch]), labels[batch])
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
        metrics = {"train_loss": running_loss, "num-examples": len(points)}
        if examples is not None:
            metrics["num-examples"] = examples(context.node_config["partition-id"])
        content = RecordDict(
            {"arrays": ArrayRecord(net.state_dict()), "metrics": MetricRecord(metrics)}
        )
        return Message(content=content, reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        net = make_net()
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        loss, accuracy = tested(net, *data.train[context.node_config["partition-id"]])
        metrics = {"eval_loss": loss, "eval_acc": accuracy, "num-examples": 1}
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    return app


@torch.no_grad()
def tested(net, points, labels):
    net.eval()
    scores = net(points)
    accuracy = (scores.argmax(1) == labels).float().mean().item()
    return functional.cross_entropy(scores, labels).item(), accuracy


def global_evaluate(data):
    def evaluate(server_round, arrays):
        net = make_net()
        net.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = tested(net, *data.test)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    return evaluate
