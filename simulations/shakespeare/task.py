"""The task: the next character of a speech in Shakespeare's plays, one client a speaker."""

from functools import lru_cache

import numpy as np
import torch
from flwr.app import ArrayRecord, UserConfig
from torch import Tensor, nn
from torch.nn import functional

from fl_ef21.data.files import PublishedFile

# One thread: sums then do not depend on how many there are, and clients run side by side.
torch.set_num_threads(1)

PLAYS = PublishedFile(
    "tinyshakespeare",
    "input.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
CHARACTERS = 65
WINDOW = 50
"""Characters that are read one after the other, from an empty memory."""

TEST_SHARE = 0.2
PARAMETERS = 79561


class Net(nn.Module):
    """An embedding of characters, one LSTM layer and a linear one, 79,561 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CHARACTERS, 8)
        self.memory = nn.LSTM(8, 128, batch_first=True)
        self.output = nn.Linear(128, CHARACTERS)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the scores of the next characters, shape (n · window, characters)."""
        read, _ = self.memory(self.embedding(windows))
        return self.output(read).flatten(0, 1)


def first_model(seed: int) -> ArrayRecord:
    """Return a new network's arrays."""
    torch.manual_seed(seed)
    return ArrayRecord(Net().state_dict())


# Nodes share a process in the Simulation Engine: they load the data once.
@lru_cache(maxsize=1)
def load_speakers() -> list[np.ndarray]:
    """Return each speaker's speeches as numbers of characters, the longest first."""
    text = PLAYS.read().decode("ascii")
    numbers = {character: number for number, character in enumerate(sorted(set(text)))}
    speeches: dict[str, str] = {}
    for block in text.split("\n\n"):
        name, _, speech = block.strip("\n").partition(":\n")
        if speech:
            speeches[name] = speeches.get(name, "") + speech + "\n"
    longest = sorted(speeches.values(), key=len, reverse=True)
    return [np.array([numbers[character] for character in speech]) for speech in longest]


@lru_cache(maxsize=512)
def load_split(speaker: int, *, test: bool) -> Tensor:
    """Return a speaker's windows, and the character after each, shape (n, window + 1).

    The last fifth of what a speaker says is for the test.
    """
    speech = load_speakers()[speaker]
    border = round((1 - TEST_SHARE) * len(speech))
    part = speech[border:] if test else speech[:border]
    count = (len(part) - 1) // WINDOW
    starts = WINDOW * np.arange(count)[:, None]
    return torch.from_numpy(part[starts + np.arange(WINDOW + 1)])


def train(net: Net, config: UserConfig, client: int, draw: int) -> tuple[float, int]:
    """Train on some of a speaker's windows; return the mean loss on the way, and their number."""
    windows = load_split(client, test=False)
    generator, total = torch.Generator().manual_seed(draw), 0.0
    order = torch.randperm(len(windows), generator=generator)[: int(config["local-windows"])]
    optimizer = torch.optim.SGD(net.parameters(), lr=float(config["learning-rate"]))
    for chosen in order.split(int(config["batch-size"])):
        optimizer.zero_grad()
        loss = _loss(net, windows[chosen])
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), float(config["clip"]))
        optimizer.step()
        total += loss.item() * len(chosen)
    return total / len(order), len(order)


@torch.no_grad()
def evaluate(arrays: ArrayRecord, clients: int) -> dict[str, float]:
    """Return loss and accuracy on the last speeches of all clients."""
    net = Net()
    net.load_state_dict(arrays.to_torch_state_dict())
    windows = torch.cat([load_split(speaker, test=True) for speaker in range(clients)])
    losses, hits = [], []
    for part in windows.split(500):
        scores, following = net(part[:, :-1]), part[:, 1:].flatten()
        losses.append(functional.cross_entropy(scores, following, reduction="sum"))
        hits.append((scores.argmax(1) == following).sum())
    count = WINDOW * len(windows)
    return {"loss": float(sum(losses) / count), "accuracy": float(sum(hits) / count)}


def _loss(net: Net, windows: Tensor) -> Tensor:
    return functional.cross_entropy(net(windows[:, :-1]), windows[:, 1:].flatten())
