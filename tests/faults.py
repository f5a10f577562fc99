"""Grids that lose, repeat and damage messages by a schedule drawn from a seed."""

from collections.abc import Callable

import numpy as np
from flwr.app import Message, RecordDict
from flwr.app.message.message import make_message

from fl_ef21.engine import InProcessGrid
from fl_ef21.flower.protocol import reply_of, reply_record


class FaultyGrid(InProcessGrid):
    """Applies one fault, drawn at random, to each message until ``last_faulty`` were delivered."""

    def __init__(self, *args, faults: dict[str, float], seed: int, last_faulty: int, **kwargs):
        super().__init__(*args, **kwargs)
        self._faults, self._rng, self._left = faults, np.random.default_rng(seed), last_faulty
        self.injected: dict[str, int] = dict.fromkeys(faults, 0)

    def deliver(self, message: Message) -> Message | None:
        self._left -= 1
        fault = self._draw() if self._left >= 0 else None
        if fault == "lost request":
            return None
        reply = super().deliver(message)
        if fault == "lost reply":
            return None
        if fault == "lost state":
            self.contexts[message.metadata.dst_node_id].state = RecordDict()
        if fault == "damaged" and not reply.has_error():
            return damage(reply, self._rng)
        return reply

    def send_and_receive(self, messages, *, timeout=None):
        replies = super().send_and_receive(messages, timeout=timeout)
        repeated = [r for r in replies if "repeated" in self._faults and self._rng.random() < 0.1]
        self.injected["repeated"] = self.injected.get("repeated", 0) + len(repeated)
        return [*replies, *repeated]

    def _draw(self) -> str | None:
        for fault, probability in self._faults.items():
            if fault != "repeated" and self._rng.random() < probability:
                self.injected[fault] += 1
                return fault
        return None


def damage(reply: Message, rng: np.random.Generator) -> Message:
    """Return the reply with one bit of its payload flipped."""

    def flip(payload: bytes) -> bytes:
        data = bytearray(payload)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        return bytes(data)

    return with_payload(reply, flip)


def with_payload(reply: Message, change: Callable[[bytes], bytes]) -> Message:
    """Return the reply with another payload."""
    about, payload = reply_of(reply.content["arrays"])
    return with_blob(reply, about.pack(change(payload)))


def with_blob(reply: Message, blob: bytes) -> Message:
    """Return the reply with other bytes in place of all that the mod has written."""
    content = RecordDict({**reply.content, "arrays": reply_record(blob)})
    return make_message(reply.metadata, content)
