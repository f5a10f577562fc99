"""Replies with something else in them."""

from collections.abc import Callable

from flwr.app import Message, RecordDict
from flwr.app.message.message import make_message

from fl_ef21.flower.protocol import reply_of, reply_record


def with_payload(reply: Message, change: Callable[[bytes], bytes]) -> Message:
    """Return the reply with another payload."""
    about, payload = reply_of(reply.content["arrays"])
    return with_blob(reply, about.pack(change(payload)))


def with_blob(reply: Message, blob: bytes) -> Message:
    """Return the reply with other bytes in place of all that the mod has written."""
    content = RecordDict({**reply.content, "arrays": reply_record(blob)})
    return make_message(reply.metadata, content)
