"""What the answer to an instruction can hold: more is refused before it is read."""

from functools import lru_cache
from typing import Final

from flwr.app import Message

from fl_ef21.compressors import Compressor, Identity, from_text
from fl_ef21.compressors.form import PLAIN
from fl_ef21.flower.protocol import RECORD, Instruction
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.policy import LayerPolicy, policy_of
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
    # Its few values by themselves: reading back the whole instruction takes ten times as long.
    said = entries(entries(content_of(instruction))[RECORD])
    policy = policy_of(
        said.get("scope", Instruction.scope),
        said.get("exact-below", Instruction.exact_below),
        said.get("layers", Instruction.layers),
    )
    coin = said.get("coin", Instruction.coin)
    scale = said.get("scale", Instruction.scale)
    try:
        found = _expected(said["method"], said["compressor"], policy, coin, layout)
    except ValueError:
        return Expected(PLAIN, first=0, later=0)
    return found if scale == found.scale else found._replace(scale=scale)


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
