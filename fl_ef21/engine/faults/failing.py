"""What fails within a client, and a bit that flips on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

DUE: Final = "fault"
"""Key of the run configuration under which a client finds what is to fail."""


class ClientFailedError(RuntimeError):
    """A client fails here because its schedule says so."""


class FailingApp(ClientApp):
    """A ClientApp whose process fails before or after the app has run."""

    def __init__(self, app: ClientApp) -> None:
        self._app = app

    def __call__(self, message: Message, context: Context) -> Message:
        """Run the app, and raise where it is due."""
        due = context.run_config.get(DUE)
        if due == "raise-before":
            raise ClientFailedError(due)
        reply = self._app(message, context)
        if due == "raise-after":
            raise ClientFailedError(due)
        return reply


def failing_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Raise within the app if that is due, after the app has run and its state was written into.

    The last mod of an app: ``ClientApp(mods=[ef21_mod, failing_mod])``.
    """
    reply = call_next(message, context)
    if context.run_config.get(DUE) == "raise-inside":
        context.state["half-written"] = MetricRecord({"value": 1})
        raise ClientFailedError("raise-inside")
    return reply


@contextmanager
def told(context: Context, kind: str) -> Iterator[None]:
    """Tell a client for one turn what is to fail."""
    context.run_config[DUE] = kind
    try:
        yield
    finally:
        del context.run_config[DUE]


def flip_a_bit(reply: Message, place: int) -> Message:
    """Return a reply in whose arrays one bit is flipped: that at ``place``, counted around."""
    content = RecordDict(dict(reply.content))
    arrays = [
        (record_name, name)
        for record_name, record in reply.content.array_records.items()
        for name, array in record.items()
        if array.data
    ]
    if not arrays:
        return reply
    record_name, name = arrays[place % len(arrays)]
    record = reply.content.array_records[record_name]
    array, data = record[name], bytearray(record[name].data)
    # A prime, so that neighbouring places fall far apart: headers are hit as often as their share.
    bit = place * 7919 % (8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    damaged = Array(array.dtype, array.shape, array.stype, bytes(data))
    content[record_name] = ArrayRecord({**record, name: damaged})
    return make_message(reply.metadata, content)
