"""What the answer to an instruction can hold: more is refused before it is read."""

from functools import lru_cache
from typing import Final

from flwr.app import Message

from fl_ef21.compressors import Compressor, Identity, from_text
from fl_ef21.compressors.form import PLAIN
from fl_ef21.flower.protocol import RECORD, Instruction
from fl_ef21.flower.protocol.instruction import Addressed, Common
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.meant import meant_by
from fl_ef21.flower.protocol.policy import LayerPolicy
from fl_ef21.flower.protocol.records import content_of, entries
from fl_ef21.flower.server.checking import Expected
from fl_ef21.methods import Turn
from fl_ef21.methods import from_text as method_from_text
from fl_ef21.wire import FRAMING_BYTES

SLACK: Final = 2
"""How many times as long as its compressor declares a message may be. What compressors declare is
tested and not proved, and an honest client must not be shut out by a byte."""


def expected_of(instruction: Message, layout: Layout) -> Expected:
    """Return what the answer to an instruction can hold.

    Asked before it is sent: in one process the client may take the message apart. Nothing is
    expected of an instruction whose compressor does not fit the model: nobody can follow it.
    """
    record = entries(content_of(instruction))[RECORD]
    addressed = meant_by(record, Addressed)
    if addressed is not None:
        return _expected_by(addressed.common, layout)
    return _expected_of(Instruction.from_record(record), layout)


@lru_cache(maxsize=1024)  # once for all clients that are told the same
def _expected_by(common: Common, layout: Layout) -> Expected:
    return _expected_of(common.instruction, layout)


def _expected_of(told: Instruction, layout: Layout) -> Expected:
    try:
        found = _expected(told.method, told.compressor, told.policy, told.coin, layout)
    except ValueError:
        return Expected(PLAIN, first=0, later=0)
    return found._replace(scale=told.scale)


@lru_cache(maxsize=4096)  # clients may each have a compressor of their own
def _expected(
    method_text: str, compressor_text: str, policy: LayerPolicy, coin: bool, layout: Layout
) -> Expected:
    method = method_from_text(method_text)
    compressor = policy.compressor(layout, from_text(compressor_text))

    def most(first: bool) -> int:
        whole = method.sends_whole(Turn(first, coin))
        sent: Compressor = Identity() if whole else compressor
        return SLACK * (FRAMING_BYTES + sent.max_bytes(layout.size, layout.dtype))

    return Expected(compressor.form, most(first=True), most(first=False))
