"""The task: which of twenty newsgroups a document is from, with an embedding for each word."""

from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from flwr.app import ArrayRecord, UserConfig
from scipy.sparse import csr_array
from sklearn.datasets import load_svmlight_file
from torch import Tensor, nn
from torch.nn import functional

from fl_ef21.data import Dataset, partition, partition_from_text
from fl_ef21.data.files import PublishedFile

# One thread: sums then do not depend on how many there are, and clients run side by side.
torch.set_num_threads(1)

FILES = {
    "20news_tfidf": "dc2c474c4241e56a7457ecb96acbd69ba94da96fb024efa2655222b6defb42b8",
    "20news_tfidf.t": "99098833e80edcf63bfaf8fd4c8be45ef61fac469d7bbb6619b2136b75bdd3e6",
}
ALL_WORDS, MIN_DOCUMENTS = 130107, 5
WORDS = 25941
"""Words that occur in at least five of the training documents."""

WIDTH, GROUPS = 16, 20
SCALE = 30.0
"""Of the tf-idf weights: embeddings then change about as much as the linear layer, beside which
a compressed downlink chooses them."""

PARAMETERS = WORDS * WIDTH + (WIDTH + 1) * GROUPS


class Net(nn.Module):
    """A bag of embeddings and a linear layer, 415,396 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(WORDS, WIDTH, mode="sum", sparse=True)
        nn.init.normal_(self.embedding.weight, std=0.1 / SCALE)
        self.output = nn.Linear(WIDTH, GROUPS)

    def forward(self, documents: csr_array) -> Tensor:
        """Return the scores of the groups for rows of weights, shape (n, words)."""
        words, starts = documents.indices.astype(np.int64), documents.indptr[:-1].astype(np.int64)
        weights = SCALE * torch.from_numpy(documents.data)
        bags = self.embedding(torch.from_numpy(words), torch.from_numpy(starts), weights)
        return self.output(bags)


def first_model(seed: int) -> ArrayRecord:
    """Return a new network's arrays."""
    torch.manual_seed(seed)
    return ArrayRecord(Net().state_dict())


# Nodes share a process in the Simulation Engine: they load the data once.
@lru_cache(maxsize=2)
def load_split(name: str) -> tuple[csr_array, Tensor]:
    """Return tf-idf weights, shape (documents, words), and groups of a file."""
    features, labels = _read(name)
    return csr_array(features[:, _vocabulary()], dtype=np.float32), torch.from_numpy(labels).long()


@lru_cache(maxsize=8)
def load_partition(text: str, clients: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return the numbers of each client's documents."""
    features, labels = load_split("20news_tfidf")
    table = Dataset.from_arrays("20newsgroups", features, labels.numpy())
    return partition(table, partition_from_text(text), clients, seed)


def train(net: Net, config: UserConfig, client: int, seed: int, draw: int) -> tuple[float, int]:
    """Train on a client's documents; return the mean loss on the way, and their number."""
    documents, labels = load_split("20news_tfidf")
    parts = load_partition(str(config["partition"]), int(config["clients"]), seed)
    rows = torch.from_numpy(parts[client])
    batch = int(config["batch-size"])
    embedding = {"params": net.embedding.parameters(), "lr": float(config["embedding-rate"])}
    output = {"params": net.output.parameters(), "lr": float(config["learning-rate"])}
    optimizer = torch.optim.SGD([embedding, output])
    generator, total = torch.Generator().manual_seed(draw), 0.0
    epochs = int(config["local-epochs"])
    for _ in range(epochs):
        for chosen in rows[torch.randperm(len(rows), generator=generator)].split(batch):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(documents[chosen.numpy()]), labels[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
    return total / (epochs * len(rows)), len(rows)


@torch.no_grad()
def evaluate(arrays: ArrayRecord, seed: int) -> dict[str, float]:
    """Return loss and accuracy on the test documents, which are later ones."""
    net = Net()
    net.load_state_dict(arrays.to_torch_state_dict())
    documents, labels = load_split("20news_tfidf.t")
    scores = net(documents)
    return {
        "loss": float(functional.cross_entropy(scores, labels)),
        "accuracy": float((scores.argmax(1) == labels).float().mean()),
    }


@lru_cache(maxsize=1)
def _vocabulary() -> np.ndarray:
    features, _ = _read("20news_tfidf")
    return np.flatnonzero(np.bincount(features.indices, minlength=ALL_WORDS) >= MIN_DOCUMENTS)


@lru_cache(maxsize=2)
def _read(name: str) -> tuple[csr_array, np.ndarray]:
    content = PublishedFile("20newsgroups", name, "", FILES[name]).read()
    return load_svmlight_file(BytesIO(content), n_features=ALL_WORDS, zero_based=False)
