"""One turn of a client: run the app, take the method's step, store the log last."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fl_ef21.compressors import Compressor, Restricted, Support, Vector
from fl_ef21.compressors import from_text as compressor_from_text
from fl_ef21.flower.client.journal import ClientJournal
from fl_ef21.flower.client.log import ClientLog, Pending, support_in
from fl_ef21.flower.client.shadow import receive_model
from fl_ef21.flower.protocol import (
    RECORD,
    Ack,
    Instruction,
    ProtocolError,
    Reply,
    chain,
    origin,
    said_record,
)
from fl_ef21.flower.protocol.layout import Described, Layout, described
from fl_ef21.flower.protocol.payload import SUPPORT, decode_shared, on_support, owned, pack
from fl_ef21.flower.protocol.policy import LayerPolicy
from fl_ef21.flower.protocol.records import (
    content_of,
    copy_record,
    entries,
    filled,
    held,
    is_error,
    reply_message,
)
from fl_ef21.flower.protocol.seeding import (
    UNUSED,
    client_generator,
    minibatch_seed,
    round_generator,
)
from fl_ef21.methods import MEMORY, Method, State, Turn
from fl_ef21.methods import from_text as method_from_text
from fl_ef21.wire import encode

MODEL: Final = "model"
"""Name of the client's last model in its state, for methods that need the signal there too."""

App = Callable[[RecordDict], Message]
"""The user's app: from the content of a train message to its reply."""


class AppFailedError(Exception):
    """The app has answered with an error message, which goes on as it is."""

    def __init__(self, reply: Message) -> None:
        super().__init__("the app answered with an error")
        self.reply = reply


Kept = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
"""Shape and dtype of vectors by name."""


class Plan(NamedTuple):
    """What follows from an instruction's texts and the model's arrays: the same for many turns."""

    method: Method
    layout: Layout
    compressor: Compressor
    kept: Kept
    """The vectors that the method keeps for the model."""


class Answer(NamedTuple):
    """What an app has returned: the signal that it means, and all beside the arrays.

    The arrays themselves are let go: a large model takes as much memory as its signal.
    """

    beside: dict[str, Any]
    """The records, with a place for the one that the server is to find in the arrays' stead."""
    name: str
    signal: Vector
    exact: bytes
    """The arrays that travel beside the vector."""


def take_turn(
    message: Message,
    records: RecordDict,
    client: str,
    instruction: Instruction,
    app: App,
    journal: ClientJournal,
) -> Message:
    """Return the client's reply, and store its log into ``records`` when all else is done.

    Raises
    ------
    AppFailedError
        If the app answers with an error.
    ProtocolError, LayoutError, ValueError
        If message, arrays or instruction do not fit; nothing is stored then.
    """
    content = content_of(message)
    name, model = single_arrays(content)
    shadow = None
    if instruction.downlink:
        model, shadow = receive_model(records, instruction, model)
    plan = _plan_of(instruction, model)
    method, layout = plan.method, plan.layout
    stored = ClientLog.load(records)

    def agreed() -> ClientLog:
        log = _agreed_log(stored, client, instruction, plan)
        journal.agreed(stored, log, instruction.round)
        return log

    beside, log, previous = _beside(content, name), None, None
    if method.needs_previous:
        log = agreed()
        if log.committed.seq and not instruction.coin:
            last = layout.arrays(log.state[MODEL], layout.exact(model))
            told = beside | _minibatch(content, instruction, client)
            previous = _ask(app, told, name, last, instruction, layout).signal
        beside |= _minibatch(content, instruction, client)
    answer = _ask(app, beside, name, model, instruction, layout)
    # Not earlier if nobody needs it: it makes vectors, and the app may have as many of its own.
    log = log or agreed()

    turn = Turn(not log.committed.seq, instruction.coin, instruction.step_size, previous)
    support = None
    if instruction.supports:
        known = support_in(log.state, layout.size)
        support = owned(answer.signal, known)
        if known != support:
            # The server has to be told, which only a client that joins can do.
            log = _new_log(instruction, client, method, layout)
            turn = turn._replace(first=True)
            journal.agreed(stored, log, instruction.round)

    encoded = _step(plan, log, answer.signal, instruction, client, turn, support)
    # From here on only what the server will decode counts.
    decoded = decode_shared(encoded, layout.size, support)
    private = dict(method.private(log.state, answer.signal, decoded, turn))
    if method.needs_previous:
        private[MODEL] = layout.vector(model)
    if support is not None:
        private[SUPPORT] = support.indices
    info = method.info(log.state, answer.signal, decoded, turn)

    payload = encoded
    if instruction.supports:
        payload = pack(encoded, support if turn.first else None)
    payload += answer.exact
    position = Ack(log.committed.seq + 1, chain(log.committed.digest, payload))
    about = Reply(client, position.seq, position.digest, *info)
    said = {**answer.beside, answer.name: said_record(about, payload)}
    journal.sent(position, instruction.round)
    ClientLog(log.epoch, log.committed, log.state, Pending(position, encoded, private)).store(
        records
    )
    if shadow is not None:
        shadow.store(records)
    return reply_message(filled(RecordDict, said), message)


def _plan_of(instruction: Instruction, model: ArrayRecord) -> Plan:
    return _plan(instruction.method, instruction.compressor, instruction.policy, described(model))


@lru_cache(maxsize=4096)  # clients may each have a compressor of their own
def _plan(
    method_text: str, compressor: str, policy: LayerPolicy, arrays: tuple[Described, ...]
) -> Plan:
    method, layout = method_from_text(method_text), policy.layout_of(arrays)
    state = _new_state(method, layout)
    kept = {name: (vector.shape, vector.dtype) for name, vector in state.items()}
    return Plan(method, layout, policy.compressor(layout, compressor_from_text(compressor)), kept)


def single_arrays(content: RecordDict) -> tuple[str, ArrayRecord]:
    """Return the one ArrayRecord of a message and its name.

    Raises
    ------
    ProtocolError
        If there is another number of them.
    """
    found = held(content, ArrayRecord)
    if len(found) != 1:
        raise ProtocolError(
            f"a train message holds one ArrayRecord, found {len(found)} "
            f"({', '.join(name for name, _ in found) or 'none'}); "
            f"let the app return exactly one, with the model's arrays"
        )
    return found[0]


def _ask(
    app: App,
    beside: dict[str, Any],
    name: str,
    model: ArrayRecord,
    instruction: Instruction,
    layout: Layout,
) -> Answer:
    """Run the app on a model and the records beside it, and return what it says."""
    # Of the app's own: some write what they return into the record or arrays that they were given.
    own = copy_record(model)
    reply: object = app(filled(RecordDict, {**beside, name: own}))
    if not isinstance(reply, Message):
        raise ProtocolError(
            f"the app returned {type(reply).__name__} instead of a Message; "
            f"end its train function with: return Message(content, reply_to=message)"
        )
    if is_error(reply):
        raise AppFailedError(reply)
    content = content_of(reply)
    place, returned = single_arrays(content)
    signal = layout.vector(returned)
    exact = layout.pack_exact(layout.exact(returned)) if layout.exact_specs else b""
    if instruction.signal == "update":
        layout.take_from(model, signal)
    if instruction.scale != 1:
        signal *= signal.dtype.type(instruction.scale)
    # Not its Message, and nothing that it holds, is written to: the app may keep both.
    return Answer({**entries(content), place: None}, place, signal, exact)


def _beside(content: RecordDict, name: str) -> dict[str, Any]:
    """Return a message's records as the app and the mods behind this one would see them.

    The model's has its place among them, and is not there yet.
    """
    records = {**entries(content), name: None}
    records.pop(RECORD, None)
    return records


def _minibatch(
    content: RecordDict, instruction: Instruction, client: str
) -> dict[str, ConfigRecord]:
    """Return the message's configs with what decides an app's minibatch.

    An app that is asked twice in a round, at two models, has to use the same rows for both.
    """
    seed = minibatch_seed(instruction.seed, client, instruction.round)
    told = {"minibatch-seed": seed, "full-gradient": instruction.coin}
    return {
        name: ConfigRecord({**record, **told})
        for name, record in content.config_records.items()
        if name != RECORD
    }


def _step(
    plan: Plan,
    log: ClientLog,
    signal: Vector,
    instruction: Instruction,
    client: str,
    turn: Turn,
    support: Support | None,
) -> bytes:
    compressor = plan.compressor
    if support is not None:
        compressor = Restricted.keeping_at_most(compressor, support)
    if not compressor.random:
        rng = UNUSED
    elif compressor.shared_randomness:
        rng = round_generator(instruction.seed, instruction.round)
    else:
        rng = client_generator(instruction.seed, client, instruction.round)
    message = plan.method.client_step(log.state, signal, compressor, rng, turn)
    if support is not None:
        message = on_support(message, support)
    return encode(message, support=support)


def _agreed_log(
    stored: ClientLog | None,
    client: str,
    instruction: Instruction,
    plan: Plan,
) -> ClientLog:
    """Return the log that the server's ack agrees with: the stored one, or a new one."""
    agreed = None
    if stored is not None and stored.epoch == instruction.epoch and _fits(stored, plan.kept):
        agreed = stored.acknowledge(instruction.ack, plan.method, plan.layout.size)
    return agreed or _new_log(instruction, client, plan.method, plan.layout)


def _new_log(instruction: Instruction, client: str, method: Method, layout: Layout) -> ClientLog:
    """Return the log of a client that joins."""
    start = origin(instruction.epoch, client, instruction.round)
    return ClientLog(instruction.epoch, Ack(0, start), _new_state(method, layout))


def _new_state(method: Method, layout: Layout) -> State:
    state = dict(method.start(layout.size, layout.dtype))
    if method.needs_previous:
        state[MODEL] = np.zeros(layout.size, layout.dtype)
    return state


def _fits(log: ClientLog, kept: Kept) -> bool:
    """Whether a stored state has the vectors that the method keeps for this model.

    A compressor's memory and a support may stand beside them.
    """
    found = {name: (vector.shape, vector.dtype) for name, vector in log.state.items()}
    if found == kept:
        return True
    beside = {name: found[name] for name in (MEMORY, SUPPORT) if name in found}
    return found == kept | beside
