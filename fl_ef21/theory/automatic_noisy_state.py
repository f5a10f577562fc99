"""What the automatic step size for noisy losses remembers: numbers only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Block:
    """Sums over the rounds of a block, or the means of one that has ended.

    Attributes
    ----------
    loss, path, variance : float
        F, Σ γ‖ḡ‖² since the first round, and e² of one round.
    rounds : int
        How many.
    """

    loss: float = 0.0
    path: float = 0.0
    rounds: int = 0
    variance: float = 0.0

    def plus(self, loss: float, path: float, variance: float) -> Self:
        """Return the sums with one more round."""
        return replace(
            self,
            loss=self.loss + loss,
            path=self.path + path,
            rounds=self.rounds + 1,
            variance=self.variance + variance,
        )

    def mean(self) -> Self:
        """Return the means."""
        return replace(
            self,
            loss=self.loss / self.rounds,
            path=self.path / self.rounds,
            variance=self.variance / self.rounds,
        )


@dataclass(frozen=True)
class NoisyState:
    """What the rule remembers between rounds.

    Attributes
    ----------
    step_size : float
        γ.
    round : int
        Rounds so far.
    searching : bool
        Whether blocks have not begun.
    rest : int
        Rounds that the model still rests.
    level, path : float
        F up to a constant, and Σ γ‖ḡ‖².
    variance : float
        Smoothed e² of one round.
    decrease, promised : float
        N and P of the search.
    sums, last, best : Block
        Of the block that runs; means of the last one and of the best one, of 0 rounds before
        there is one.
    losses, paths : mapping of float by client
        Each client's last loss, and ``path`` then.
    """

    step_size: float
    round: int = 0
    searching: bool = True
    rest: int = 0
    level: float = 0.0
    path: float = 0.0
    variance: float = 0.0
    decrease: float = 0.0
    promised: float = 0.0
    sums: Block = Block()
    last: Block = Block()
    best: Block = Block()
    losses: Mapping[str, float] = field(default_factory=dict)
    paths: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers, and dicts of them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the state that `as_dict` has written."""
        blocks = {name: Block(**values[name]) for name in ("sums", "last", "best")}
        return cls(**{**values, **blocks})
