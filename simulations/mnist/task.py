"""The task: a small convolutional network on the digits of MNIST, spread over the clients."""

from functools import lru_cache

import numpy as np
import torch
from flwr.app import ArrayRecord, UserConfig
from torch import Tensor, nn
from torch.nn import functional

from fl_ef21.data import Dataset, partition, partition_from_text
from fl_ef21.data.files import PublishedFile

# One thread: sums then do not depend on how many there are, and clients run side by side.
torch.set_num_threads(1)

ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist"
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Net(nn.Module):
    """Two convolutions and two dense layers, 140,138 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 5, stride=2)
        self.second = nn.Conv2d(8, 16, 5, stride=2)
        self.hidden = nn.Linear(256, 512)
        self.output = nn.Linear(512, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of ten classes for images of shape (n, 1, 28, 28)."""
        features = functional.relu(self.second(functional.relu(self.first(images))))
        return self.output(functional.relu(self.hidden(features.flatten(1))))


def first_model(seed: int) -> ArrayRecord:
    """Return a new network's arrays."""
    torch.manual_seed(seed)
    return ArrayRecord(Net().state_dict())


# Nodes share a process in the Simulation Engine: they load the data once.
@lru_cache(maxsize=2)
def load_split(split: str) -> tuple[Tensor, Tensor]:
    """Return images in [0, 1] and labels of ``train`` or ``t10k``."""
    images = _read(f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    labels = _read(f"{split}-labels-idx1-ubyte", 8)
    return torch.from_numpy(images / np.float32(255)), torch.from_numpy(labels.astype(np.int64))


@lru_cache(maxsize=8)
def load_partition(text: str, clients: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return the numbers of each client's rows."""
    _, labels = load_split("train")
    table = Dataset.from_arrays("mnist", np.ones((len(labels), 1)), labels.numpy())
    return partition(table, partition_from_text(text), clients, seed)


def train(net: Net, config: UserConfig, client: int, seed: int, draw: int) -> tuple[float, int]:
    """Train on a client's rows; return the mean loss on the way, and the number of rows."""
    images, labels = load_split("train")
    parts = load_partition(str(config["partition"]), int(config["clients"]), seed)
    rows = torch.from_numpy(parts[client])
    batch, rate = int(config["batch-size"]), float(config["learning-rate"])
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    generator, total = torch.Generator().manual_seed(draw), 0.0
    epochs = int(config["local-epochs"])
    for _ in range(epochs):
        for chosen in rows[torch.randperm(len(rows), generator=generator)].split(batch):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
    return total / (epochs * len(rows)), len(rows)


@torch.no_grad()
def evaluate(arrays: ArrayRecord, seed: int) -> dict[str, float]:
    """Return loss and accuracy on the test images."""
    net = Net()
    net.load_state_dict(arrays.to_torch_state_dict())
    images, labels = load_split("t10k")
    scores = torch.cat([net(part) for part in images.split(1000)])
    return {
        "loss": float(functional.cross_entropy(scores, labels)),
        "accuracy": float((scores.argmax(1) == labels).float().mean()),
    }


def _read(name: str, header: int) -> np.ndarray:
    content = PublishedFile("mnist", name, f"{ADDRESS}/{name}.gz", FILES[name]).read()
    return np.frombuffer(content, np.uint8, offset=header)
