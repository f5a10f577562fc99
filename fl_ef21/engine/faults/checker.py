"""Compares both sides of the log with a fold of the accepted messages, after every round."""

from collections.abc import Callable
from typing import Final

import numpy as np
from flwr.app import ArrayRecord, Message
from numpy.typing import NDArray

from fl_ef21.engine.faults.folding import BrokenInvariantError, Folding, Sum, bits
from fl_ef21.engine.faults.grid import FaultyGrid
from fl_ef21.engine.faults.states import log_records
from fl_ef21.flower.client.log import ClientLog
from fl_ef21.flower.client.mod import client_key
from fl_ef21.flower.protocol import Ack
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.server import Descent

TOLERANCE: Final = 1e-12
"""Of sums, relative to the sum of magnitudes, in float64."""


class LogChecker:
    """Checks a run after every round.

    - I1: the server's estimate is Σ pᵢ ĝᵢ of the accepted messages.
    - I2: the server's ĝᵢ, and the state of each client where the server's ack leads it, are that
      same fold, bit for bit; what a client has committed is the fold up to some accepted message.
    - Every accepted message was sent in answer to an instruction of its round, follows the one
      accepted before, and counts once; a client joins again only if something happened to it.
    - The model moves along that estimate, and not at all when nothing was accepted.

    Mutable: it follows the run. :meth:`tap` is the Grid's tap; :meth:`begin` or :meth:`resume` is
    called when a server begins; :meth:`after_round` is a callback of ``strategy.start``.

    Parameters
    ----------
    weight_of : callable, optional
        mᵢ from client key and number of examples; by default the number of examples.

    Attributes
    ----------
    folding : Folding
        What should be there.
    compared : int
        Clients' states that were compared.
    """

    def __init__(
        self,
        weight_of: Callable[[str, float], float] = lambda _, m: m,
        scale_of: Callable[[str], float] = lambda _: 1.0,
    ) -> None:
        self.folding = Folding(weight_of, scale_of)
        self.compared = 0
        self._models: dict[int, ArrayRecord] = {}

    def begin(self, grid: FaultyGrid, strategy: ErrorFeedbackStrategy, model: ArrayRecord) -> None:
        """Begin with a server that knows nothing of the messages before, and its first model."""
        self._grid, self._strategy, self._model = grid, strategy, model
        self.folding.begin(grid, strategy, model)

    def resume(self, strategy: ErrorFeedbackStrategy, server_round: int) -> None:
        """Go on with a server that remembers all until the end of a round, and no more."""
        self._strategy, self._model = strategy, self._models[server_round]
        self.folding.resume(strategy, server_round)

    def tap(self, message: Message) -> None:
        """Note a message that passes the Grid."""
        self.folding.tap(message)

    def after_round(self, row: RoundRecord, model: ArrayRecord) -> None:
        """Follow one round and compare.

        Raises
        ------
        BrokenInvariantError
            If anything is not as it has to be; the text says what.
        """
        ledger = self._strategy.ledger
        assert ledger is not None
        accepted = self.folding.follow(ledger, row)
        expected = self.folding.sum(accepted)
        self._check_server(ledger, expected)
        self._check_clients(ledger)
        self._check_model(row, model, expected)
        self._model = self._models[row.round] = model

    def _check_server(self, ledger: Ledger, expected: Sum) -> None:
        """Check I1, and the server's half of I2."""
        _compare("I1: the estimate", ledger.estimate.mean(), expected)
        if not isinstance(ledger.estimate, RememberedEstimate) or not self.folding.has_mirrors:
            return
        held, folds = ledger.estimate.contributions(), self.folding.folded
        if held.keys() != folds.keys():
            raise BrokenInvariantError(f"the server remembers {sorted(held)}")
        for client, (factor, vector) in held.items():
            folded = folds[client]
            if factor != folded.factor or vector.tobytes() != folded.vector.tobytes():
                raise BrokenInvariantError(f"I2: the server's copy of {client} is not its fold")

    def _check_clients(self, ledger: Ledger) -> None:
        """Check the clients' half of I2."""
        folding = self.folding
        for place, context in self._grid.nodes.clients():
            client = client_key(context)
            log = ClientLog.load(log_records(context, ledger.epoch))
            if log is None or log.epoch != ledger.epoch:
                continue
            if log.committed.seq:
                self._check_state(client, log.committed, log)
            last = folding.folded.get(client)
            if last is None:
                continue
            agreed = log.acknowledge(last.position, folding.method, folding.layout.size)
            if agreed is not None:
                self._check_state(client, last.position, agreed)
                self.compared += 1
                if ledger.client_of(context.node_id) == client:
                    folding.excused[client] = self._grid.nodes.disturbed[place]
            elif not self._is_excused(client, place):
                raise BrokenInvariantError(
                    f"I2: {client} cannot reach {last.position}, and nothing had happened to it"
                )

    def _is_excused(self, client: str, place: int) -> bool:
        disturbed = self._grid.nodes.disturbed[place]
        return self._strategy.uses_supports or self.folding.excused.get(client, 0) < disturbed

    def _check_state(self, client: str, position: Ack, log: ClientLog) -> None:
        expected = self.folding.states.get(position)
        if expected is None:
            raise BrokenInvariantError(
                f"I2: {client} has committed {position}, which was never accepted"
            )
        found = bits(log.state)
        for name, wanted in expected.items():
            if found.get(name) != wanted:
                raise BrokenInvariantError(f"I2: {name} of {client} is not the fold at {position}")

    def _check_model(self, row: RoundRecord, model: ArrayRecord, along: Sum) -> None:
        layout, strategy = self.folding.layout, self._strategy
        before, after = layout.vector(self._model), layout.vector(model)
        if row.instructed and row.clients < strategy.min_replies:
            if before.tobytes() != after.tobytes():
                raise BrokenInvariantError(
                    f"the model moved in round {row.round} by {row.clients} messages"
                )
            return
        method = self.folding.method
        plain = strategy.model.downlink is None and strategy.model.server == Descent()
        if plain and not method.counts_silent_clients:
            step = method.server_step_size(row.step_size)
            moved = before.astype(np.float64) - step * along.value
            magnitude = np.abs(before).astype(np.float64) + step * along.magnitude
            _compare("the model", after.astype(np.float64), Sum(moved, magnitude))


def _compare(what: str, found: NDArray[np.float64], expected: Sum) -> None:
    error = np.abs(found - expected.value)
    if (error > TOLERANCE * expected.magnitude).any():
        raise BrokenInvariantError(
            f"{what} is off by {error.max():.3g}: {found} instead of {expected.value}"
        )
