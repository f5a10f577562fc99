"""The client mod: runs an ordinary app and sends a compressed message in place of its arrays."""

from logging import WARNING

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import log as flower_log
from flwr.common.constant import ErrorCode

from fl_ef21.flower.client.journal import ClientJournal
from fl_ef21.flower.client.shadow import receive_model
from fl_ef21.flower.client.state_directory import StateDirectory
from fl_ef21.flower.client.turn import AppFailedError, single_arrays, take_turn
from fl_ef21.flower.protocol import RECORD, Instruction, ProtocolError, Reply, origin, said_record
from fl_ef21.flower.protocol.records import (
    content_of,
    copied_state,
    entries,
    is_error,
    is_record,
    metadata,
    own_records,
)


def ef21_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Send what the app returns as a compressed message of the method that the server chose.

    Works for any app whose train function returns the model's arrays, updated or as gradients
    (the strategy's ``signal`` says which), for a whole app or a single function. Everything to
    know travels in the instruction, so client code does not change with the method. Evaluate
    messages pass untouched, or with the model that a compressed downlink means; query messages
    always pass untouched.

    If anything fails, in the app or here, the reply is an error and ``context.state`` is what it
    was before: the server counts the failure and the next instruction finds both sides equal.

    Parameters
    ----------
    message : Message
        From a strategy of this library.
    context : Context
        Its ``node_config`` names the client with ``client-id`` or ``partition-id``, so that the
        client is known again after a restart; otherwise the node id does. Its ``state`` holds the
        log, in records whose names begin with ``fl_ef21``. With ``state-dir`` in the node config
        or the run config the log is kept in that folder instead, and outlives the process. With
        ``journal-dir`` it is noted there what was sent and committed, for ``fl-ef21 audit``.
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
    kind = metadata(message)["_message_type"].partition(".")[0]
    record = None if is_error(message) else entries(content_of(message)).get(RECORD)
    if kind != "train" and not (kind == "evaluate" and is_record(record, ConfigRecord)):
        return call_next(message, context)
    if not is_record(record, ConfigRecord):
        return _error(
            message,
            ErrorCode.MOD_FAILED_PRECONDITION,
            "ef21_mod got a train message without an instruction of fl-ef21: use one of its "
            "strategies on the server, for example EF21, or take the mod out of the ClientApp",
        )
    before = copied_state(context.state)
    try:
        instruction = Instruction.from_record(record)
        if instruction.roll_call:
            return _roll_call(message, context, instruction)
        run = _train if kind == "train" else _evaluate
        client = client_key(context)
        home = StateDirectory.of(context, client, instruction.epoch)
        records = context.state if home is None else home.load()
        reply = run(message, context, client, records, call_next, instruction)
        if home is not None:
            if not reply.has_error():
                home.save(records)
        elif context.state is not records:
            # The app has put a state of its own in the place of the one that has the log.
            entries(context.state).update(own_records(records))
    except AppFailedError as failed:
        reply = failed.reply
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
    if is_error(reply):
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
    message: Message,
    context: Context,
    client: str,
    records: RecordDict,
    call_next: ClientAppCallable,
    instruction: Instruction,
) -> Message:
    def app(content: RecordDict) -> Message:
        message.content = content
        return call_next(message, context)

    journal = ClientJournal.of(context, client)
    return take_turn(message, records, client, instruction, app, journal)


def _evaluate(
    message: Message,
    context: Context,
    client: str,  # noqa: ARG001 - as of all that answer
    records: RecordDict,
    call_next: ClientAppCallable,
    instruction: Instruction,
) -> Message:
    """Give the app the model that a compressed downlink means."""
    name, arrays = single_arrays(message.content)
    model, shadow = receive_model(records, instruction, arrays)
    told = {key: record for key, record in message.content.items() if key != RECORD}
    message.content = RecordDict({**told, name: model})
    reply = call_next(message, context)
    if not reply.has_error():
        shadow.store(records)
    return reply


def _roll_call(message: Message, context: Context, instruction: Instruction) -> Message:
    client = client_key(context)
    about = Reply(client, seq=0, digest=origin(instruction.epoch, client, instruction.round))
    return Message(RecordDict({"arrays": said_record(about, b"")}), reply_to=message)


def _error(message: Message, code: int, reason: str) -> Message:
    flower_log(WARNING, reason)
    return Message(Error(code=code, reason=reason), reply_to=message)
