"""The client mod: runs an ordinary app and sends a compressed message in place of its arrays."""

from dataclasses import replace
from logging import WARNING

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import log as flower_log
from flwr.common.constant import ErrorCode

from fl_ef21.compressors import Vector
from fl_ef21.compressors import from_text as compressor_from_text
from fl_ef21.flower.client_log import ClientLog, Pending
from fl_ef21.flower.layout import Layout
from fl_ef21.flower.protocol import (
    RECORD,
    Ack,
    Instruction,
    ProtocolError,
    Reply,
    chain,
    origin,
    reply_record,
)
from fl_ef21.flower.records import copy_records
from fl_ef21.flower.seeding import client_generator
from fl_ef21.methods import Info, Method, State
from fl_ef21.methods import from_text as method_from_text
from fl_ef21.wire import decode, encode


def ef21_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Send what the app returns as a compressed message of the method that the server chose.

    Works for any app whose train function returns the model's arrays, updated or as gradients
    (the strategy's ``signal`` says which), for a whole app or a single function. Everything to
    know travels in the instruction, so client code does not change with the method. Evaluate and
    query messages pass untouched.

    If anything fails, in the app or here, the reply is an error and ``context.state`` is what it
    was before: the server counts the failure and the next instruction finds both sides equal.

    Parameters
    ----------
    message : Message
        From a strategy of this library.
    context : Context
        Its ``node_config`` names the client with ``client-id`` or ``partition-id``, so that the
        client is known again after a restart; otherwise the node id does. Its ``state`` holds the
        log, in records whose names begin with ``fl_ef21``.
    call_next : callable
        The app.

    Returns
    -------
    Message
        The app's reply with its arrays replaced by one payload, or an error reply.

    Examples
    --------
    .. code-block:: python

        from flwr.clientapp import ClientApp
        from fl_ef21 import ef21_mod

        app = ClientApp(mods=[ef21_mod])
    """
    if message.metadata.message_type.split(".")[0] != "train":
        return call_next(message, context)
    record = message.content.get(RECORD)
    if not isinstance(record, ConfigRecord):
        return _error(
            message,
            ErrorCode.MOD_FAILED_PRECONDITION,
            "ef21_mod got a train message without an instruction of fl-ef21: use one of its "
            "strategies on the server, for example EF21, or take the mod out of the ClientApp",
        )
    before = copy_records(context.state)
    try:
        instruction = Instruction.from_record(record)
        if instruction.roll_call:
            return _roll_call(message, context)
        reply = _train(message, context, call_next, instruction)
    # Whatever an app raises must become a reply: the Deployment Engine would keep a half-written
    # state, the Simulation Engine would not, and the two would go different ways.
    except (Exception, SystemExit) as error:
        precondition = isinstance(error, ProtocolError)
        reply = _error(
            message,
            ErrorCode.MOD_FAILED_PRECONDITION
            if precondition
            else ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
            f"client {client_key(context)}: {type(error).__name__}: {error}",
        )
    if reply.has_error():
        context.state.clear()
        context.state.update(before)
    return reply


def client_key(context: Context) -> str:
    """Return the client's name: ``client-id`` or ``partition-id`` if configured, else node id."""
    for name in ("client-id", "partition-id"):
        if name in context.node_config:
            return f"{name}={context.node_config[name]}"
    return f"node-id={context.node_id}"


def _train(
    message: Message, context: Context, call_next: ClientAppCallable, instruction: Instruction
) -> Message:
    """Run the app, take the client step, and store the log last."""
    client = client_key(context)
    method = method_from_text(instruction.method)
    model = _arrays(message.content)[1]
    layout = Layout.of(model)
    sent = layout.vector(model)
    log = _agreed_log(context, instruction, method, layout)

    reply = call_next(message, context)
    if reply.has_error():
        return reply
    name, returned = _arrays(reply.content)
    signal = layout.vector(returned)
    if instruction.signal == "update":
        signal = sent - signal

    encoded, info = _client_step(log, instruction, method, signal, client)
    payload = encoded + layout.pack_exact(layout.exact(returned))
    position = Ack(log.committed.seq + 1, chain(log.committed.digest, payload))
    about = Reply(client, position.seq, position.digest, *info)
    content = RecordDict({**reply.content, name: reply_record(about.pack(payload))})
    answer = Message(content, reply_to=message)
    replace(log, pending=Pending(position, encoded)).store(context.state)
    return answer


def _agreed_log(
    context: Context, instruction: Instruction, method: Method, layout: Layout
) -> ClientLog:
    """Return the log that the server's ack agrees with: the stored one, or a new one."""
    stored = ClientLog.load(context.state)
    fresh = method.start(layout.size, layout.dtype)
    if stored is not None and stored.epoch == instruction.epoch and _fits(stored, fresh):
        agreed = stored.acknowledge(instruction.ack, method, layout.size)
        if agreed is not None:
            return agreed
    committed = Ack(0, origin(instruction.epoch, client_key(context)))
    return ClientLog(instruction.epoch, committed, fresh)


def _fits(log: ClientLog, fresh: State) -> bool:
    """Whether a stored state has the vectors that the method keeps for this model."""
    return log.state.keys() == fresh.keys() and all(
        vector.shape == fresh[name].shape and vector.dtype == fresh[name].dtype
        for name, vector in log.state.items()
    )


def _client_step(
    log: ClientLog, instruction: Instruction, method: Method, signal: Vector, client: str
) -> tuple[bytes, Info]:
    compressor = compressor_from_text(instruction.compressor)
    rng = client_generator(instruction.seed, client, instruction.round)
    first = log.committed.seq == 0
    encoded = encode(method.client_step(log.state, signal, compressor, rng, first=first))
    return encoded, method.info(log.state, signal, decode(encoded, size=signal.size))


def _arrays(content: RecordDict) -> tuple[str, ArrayRecord]:
    """Return the one ArrayRecord of a message and its name."""
    records = list(content.array_records.items())
    if len(records) != 1:
        raise ProtocolError(
            f"a train message holds one ArrayRecord, found {len(records)} "
            f"({', '.join(name for name, _ in records) or 'none'}); "
            f"let the app return exactly one, with the model's arrays"
        )
    return records[0]


def _roll_call(message: Message, context: Context) -> Message:
    about = Reply(client_key(context), seq=0, digest=b"")
    return Message(RecordDict({"arrays": reply_record(about.pack(b""))}), reply_to=message)


def _error(message: Message, code: int, reason: str) -> Message:
    flower_log(WARNING, reason)
    return Message(Error(code=code, reason=reason), reply_to=message)
