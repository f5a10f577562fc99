"""A real reply that hostile ones are made of, and all that its sender knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from flwr.app import Message, RecordDict
from flwr.app.message.message import make_message

from fl_ef21.flower.protocol import Reply, chain, reply_of, reply_record
from fl_ef21.flower.protocol.payload import unpack


@dataclass(frozen=True)
class Target:
    """A real reply, and what its sender knows of the log.

    Attributes
    ----------
    reply : Message
        As it was sent.
    last : bytes
        Digest of the message before it, or of the origin.
    epoch : bytes
        Of the run.
    round : int
        In which it was sent.
    size : int
        Dimension d.
    dtype : numpy.dtype
        Of the vectors.
    others : sequence of Message
        Replies of other clients, and earlier ones.
    exact_nbytes : int
        Bytes of the exact arrays at the end of a payload.
    supports : bool
        Whether a payload begins with a support.
    """

    reply: Message
    last: bytes
    epoch: bytes
    round: int
    size: int
    dtype: np.dtype[Any]
    others: Sequence[Message]
    exact_nbytes: int = 0
    supports: bool = False

    @property
    def blob(self) -> bytes:
        """All bytes that the mod has written."""
        return bytes(next(iter(self.reply.content["arrays"].values())).data)  # type: ignore[union-attr]

    @property
    def parts(self) -> tuple[Reply, bytes]:
        """What the client says about itself, and the payload."""
        return reply_of(self.reply.content.array_records["arrays"])

    @property
    def message(self) -> bytes:
        """The payload's compressed message."""
        return self._split()[1]

    def _split(self) -> tuple[bytes, bytes, bytes]:
        """Return what stands before the message, the message, and what follows it."""
        _, payload = self.parts
        end = len(payload) - self.exact_nbytes
        begin = end - len(unpack(payload[:end], self.size).message) if self.supports else 0
        return payload[:begin], payload[begin:end], payload[end:]

    def with_message(self, message: bytes) -> Message:
        """Return the reply with another message, and the digest that fits it."""
        before, _, after = self._split()
        return self.signed(before + message + after)

    def with_body(self, body: bytes) -> Message:
        """Return the reply with a message of which the checksum is right, and the digest too."""
        return self.with_message(body + crc32(body).to_bytes(4, "little"))

    def with_blob(self, blob: bytes) -> Message:
        """Return the reply with other bytes."""
        return self.with_records({**self.reply.content, "arrays": reply_record(blob)})

    def signed(self, payload: bytes) -> Message:
        """Return the reply with another payload and the digest that fits it."""
        about, _ = self.parts
        return self.with_blob(about._replace(digest=chain(self.last, payload)).pack(payload))

    def with_records(self, records: Mapping[str, Any]) -> Message:
        """Return the reply with other records."""
        return make_message(self.reply.metadata, RecordDict(dict(records)))
