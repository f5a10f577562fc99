"""The task: heart disease or not, from what four hospitals have noted of their patients."""

from functools import lru_cache

import numpy as np
import torch
from flwr.app import ArrayRecord, UserConfig
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fl_ef21.data.files import PublishedFile

# One thread: sums then do not depend on how many there are, and clients run side by side.
torch.set_num_threads(1)

ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease"
HOSPITALS = {
    "cleveland": "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
    "hungarian": "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
    "switzerland": "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
    "va": "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
}
NUMBERS = (0, 1, 3, 4, 5, 7, 8, 9)
"""Columns: age, sex, pressure, cholesterol, sugar, heart rate, angina, ST depression. Slope,
vessels and thal, which three of the hospitals mostly lack, are left out."""

CHOLESTEROL = 4
CHOICES = {2: (1, 2, 3, 4), 6: (0, 1, 2)}
"""Columns of categories: kind of chest pain, resting electrocardiogram."""

FEATURES = len(NUMBERS) + sum(map(len, CHOICES.values()))
TEST_SHARE = 0.25


def make_net(kind: str) -> nn.Module:
    """Return ``logistic`` regression (16 parameters) or a ``network`` (3,137)."""
    if kind == "logistic":
        return nn.Linear(FEATURES, 1)
    if kind != "network":
        raise ValueError(f"model={kind!r} is unknown; choose logistic or network")
    layers = [nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)]
    return nn.Sequential(*layers)


def first_model(kind: str, seed: int) -> ArrayRecord:
    """Return a new network's arrays."""
    torch.manual_seed(seed)
    return ArrayRecord(make_net(kind).state_dict())


@lru_cache(maxsize=1)
def load_hospitals() -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return features and labels of each hospital, gaps filled and scaled by all patients.

    Medians, means and deviations are those of all four together: numbers that hospitals can share.
    """
    tables = [_table(name) for name in HOSPITALS]
    rows = np.concatenate(tables)
    numbers = rows[:, NUMBERS]
    medians = np.nanmedian(numbers, axis=0)
    filled = np.where(np.isnan(numbers), medians, numbers)
    scaled = (filled - filled.mean(axis=0)) / filled.std(axis=0)
    choices = [rows[:, [column]] == np.array(values) for column, values in CHOICES.items()]
    features = np.hstack([scaled, *choices])
    labels = (rows[:, 13] > 0).astype(float)
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return list(zip(np.split(features, ends), np.split(labels, ends), strict=True))


@lru_cache(maxsize=16)
def load_split(hospital: int, seed: int, *, test: bool) -> tuple[Tensor, Tensor]:
    """Return the patients of a hospital to train on, or a quarter of them to test on."""
    features, labels = load_hospitals()[hospital]
    order = np.random.default_rng([seed, hospital]).permutation(len(labels))
    held_out = int(TEST_SHARE * len(order))
    rows = order[:held_out] if test else order[held_out:]
    return torch.tensor(features[rows]).float(), torch.tensor(labels[rows]).float()


def train(
    net: nn.Module, config: UserConfig, hospital: int, seed: int, draw: int
) -> tuple[float, int]:
    """Train on a hospital's patients; return the mean loss on the way, and their number."""
    features, labels = load_split(hospital, seed, test=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=float(config["learning-rate"]))
    generator, total = torch.Generator().manual_seed(draw), 0.0
    epochs = int(config["local-epochs"])
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=generator)
        for chosen in order.split(int(config["batch-size"])):
            optimizer.zero_grad()
            scores = net(features[chosen]).squeeze(1)
            loss = functional.binary_cross_entropy_with_logits(scores, labels[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
    return total / (epochs * len(labels)), len(labels)


@torch.no_grad()
def evaluate(arrays: ArrayRecord, kind: str, seed: int) -> dict[str, float]:
    """Return loss and accuracy on the patients held out at all four hospitals."""
    net = make_net(kind)
    net.load_state_dict(arrays.to_torch_state_dict())
    parts = [load_split(hospital, seed, test=True) for hospital in range(len(HOSPITALS))]
    features, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    scores = net(features).squeeze(1)
    return {
        "loss": float(functional.binary_cross_entropy_with_logits(scores, labels)),
        "accuracy": float(((scores > 0) == (labels > 0)).float().mean()),
    }


def _table(hospital: str) -> NDArray[np.float64]:
    name = f"processed.{hospital}.data"
    content = PublishedFile("heart_disease", name, f"{ADDRESS}/{name}", HOSPITALS[hospital]).read()
    lines = content.decode("ascii").split()
    table = np.array([[float(v) if v != "?" else np.nan for v in row.split(",")] for row in lines])
    # A cholesterol of zero is a gap too: all of Switzerland has it.
    table[table[:, CHOLESTEROL] == 0, CHOLESTEROL] = np.nan
    return table
