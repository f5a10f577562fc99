"""What clients have of their own: how much they send, and how often they take part."""

from collections.abc import Sequence

from fl_ef21.compressors import Compressor
from fl_ef21.compressors.arguments import is_number
from fl_ef21.compressors.keeping import Keeping
from fl_ef21.flower.server.clients import ByClient, by_client, value_of
from fl_ef21.theory import Constants, allocate


class ClientShares:
    """Compressors and probabilities by client.

    Mutable in one thing: counts are settled once the dimension is known.

    Parameters
    ----------
    compressor : Compressor
        Of all clients, unless there is a budget.
    budget, probabilities, constants
        As in :class:`~fl_ef21.flower.server.strategy.ErrorFeedbackStrategy`.

    Raises
    ------
    ValueError
        If a probability is out of range, or the budget lacks what it needs.
    """

    def __init__(
        self,
        compressor: Compressor,
        budget: int | None,
        probabilities: ByClient[float] | None,
        constants: Constants | None,
    ) -> None:
        if budget is not None and not (
            isinstance(compressor, Keeping) and isinstance(constants, Constants)
        ):
            raise ValueError(
                f"budget={budget!r} needs constants=Constants(...) with one L_i for each client, "
                f"and a compressor that keeps a count, such as TopK(1); got {compressor}"
            )
        self.compressor = compressor
        given = None if probabilities is None else by_client(probabilities)
        for client, probability in (given or {}).items():
            if not is_number(probability) or not 0 < probability <= 1:
                raise ValueError(f"probability {probability!r} of client {client} is not in (0, 1]")
        self.probabilities = None if given is None else {c: float(p) for c, p in given.items()}
        self.counts: tuple[int, ...] | None = None
        self._budget = budget
        self._constants = constants
        self._compressors: dict[str, Compressor] = {}

    @property
    def are_individual(self) -> bool:
        """Whether clients differ, so that their keys have to be known."""
        return self._budget is not None or self.probabilities is not None

    def settle(self, size: int) -> None:
        """Share the budget out for a model of dimension ``size``.

        Raises
        ------
        ValueError
            If the budget is below the number of clients.
        """
        if self._budget is None or self._constants is None:
            return
        assert isinstance(self.compressor, Keeping)
        known = self._constants
        sizes = known.support_sizes if known.supports is not None else (size,) * known.n
        self.counts = allocate(self._budget, known.L_i, sizes, weights=known.weights)
        kind = type(self.compressor)
        self._compressors = by_client([kind(k=count) for count in self.counts])

    def compressor_of(self, client: str) -> Compressor:
        """Return what a client compresses with."""
        if not self._compressors:
            return self.compressor
        return value_of(self._compressors, client, "share of the budget")

    def probability_of(self, client: str) -> float:
        """Return the probability with which a client takes part."""
        return value_of(self.probabilities or {}, client, "probability")

    def participation(self, fraction: float) -> float | Sequence[float]:
        """Return what theory calls participation: one number, or one for each client."""
        return fraction if self.probabilities is None else list(self.probabilities.values())
