"""digits-app: a model, its data, and how they are trained."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(64)
        self.fc1 = nn.Linear(64 * 2 * 2, 512)
        self.fc2 = nn.Linear(512, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def load_data(partition_id, num_partitions, batch_size):
    """A third of a client's digits are of any kind; the others of the few that it knows."""
    digits = load_digits()
    x = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target)
    order = np.random.default_rng(42).permutation(len(y))
    test, mixed, rest = order[:360], order[360:840], order[840:]
    own = rest[np.argsort(digits.target[rest], kind="stable")]
    rows = np.concatenate(
        [np.array_split(mixed, num_partitions)[partition_id],
         np.array_split(own, num_partitions)[partition_id]]
    )  # fmt: skip
    trainloader = DataLoader(TensorDataset(x[rows], y[rows]), batch_size, shuffle=True)
    return trainloader, DataLoader(TensorDataset(x[test], y[test]), 360)


def train(net, trainloader, epochs, lr):
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    net.train()
    running_loss = 0.0
    for _ in range(epochs):
        for x, y in trainloader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
    return running_loss / (epochs * len(trainloader))


@torch.no_grad()
def test(net, testloader):
    net.eval()
    correct, loss, total = 0, 0.0, 0
    for x, y in testloader:
        scores = net(x)
        loss += F.cross_entropy(scores, y, reduction="sum").item()
        correct += (scores.argmax(1) == y).sum().item()
        total += len(y)
    return loss / total, correct / total
