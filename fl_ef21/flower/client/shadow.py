"""The client's side of a compressed downlink: its copy of the model, moved by messages.

Stored in ``context.state`` beside the log.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from fl_ef21.flower.client.vectors import to_array, to_vector
from fl_ef21.flower.protocol import RECORD, Instruction, ProtocolError
from fl_ef21.flower.protocol.layout import ArraySpec, Layout
from fl_ef21.flower.protocol.model_update import WHOLE, model_digest, read_pieces
from fl_ef21.methods import State
from fl_ef21.methods.downlink import from_text
from fl_ef21.methods.downlink.downlink import MODEL
from fl_ef21.methods.downlink.ef21_bc import DIRECTION

_VECTORS: Final = f"{RECORD}.shadow.vectors"
_PLACE: Final = f"{RECORD}.shadow"


@dataclass(frozen=True)
class Shadow:
    """What a client holds of the model, and which version that is."""

    epoch: bytes
    version: int
    layout: Layout
    state: State

    def store(self, records: RecordDict) -> None:
        """Write it into ``context.state``."""
        records[_VECTORS] = ArrayRecord(
            {name: to_array(vector) for name, vector in self.state.items()}
        )
        specs = [(spec.name, spec.shape, spec.dtype.str) for spec in self.layout.specs]
        records[_PLACE] = ConfigRecord(
            {
                "epoch": self.epoch,
                "version": self.version,
                "specs": json.dumps(specs),
                "exact-below": self.layout.exact_below,
                "apart": list(self.layout.apart),
            }
        )

    @classmethod
    def load(cls, records: RecordDict) -> Self | None:
        """Read it from ``context.state``; ``None`` if there is none that can be read."""
        place, vectors = records.get(_PLACE), records.get(_VECTORS)
        if not isinstance(place, ConfigRecord) or not isinstance(vectors, ArrayRecord):
            return None
        try:
            specs = tuple(
                ArraySpec(name, tuple(shape), np.dtype(dtype))
                for name, shape, dtype in json.loads(str(place["specs"]))
            )
            return cls(
                epoch=bytes(place["epoch"]),  # type: ignore[arg-type]
                version=int(place["version"]),  # type: ignore[arg-type]
                layout=Layout(
                    specs,
                    int(place["exact-below"]),  # type: ignore[arg-type]
                    tuple(place["apart"]),  # type: ignore[arg-type]
                ),
                state={name: to_vector(array) for name, array in vectors.items()},
            )
        except (KeyError, TypeError, ValueError):
            return None


def receive_model(
    records: RecordDict, instruction: Instruction, arrays: ArrayRecord
) -> tuple[ArrayRecord, Shadow]:
    """Return the model that an instruction means, and the shadow to store once all is done.

    Raises
    ------
    ProtocolError
        If this client does not hold the version that the messages start from, or what comes out
        is not the server's model: the server then sends it whole.
    """
    if instruction.base == WHOLE:
        layout = instruction.policy.layout(arrays)
        state: State = {MODEL: layout.vector(arrays)}
        if instruction.direction:
            state = {**state, DIRECTION: _direction(instruction.direction, layout)}
        exact = layout.exact(arrays)
    else:
        held = Shadow.load(records)
        if held is not None and _is_there(held, instruction):
            # The server has stopped after this client's turn, and goes on from before it.
            raw = _blob(arrays)
            exact = held.layout.unpack_exact(raw[len(raw) - held.layout.exact_nbytes :])
            return held.layout.arrays(held.state[MODEL], exact), held
        if held is None or (held.epoch, held.version) != (instruction.epoch, instruction.base):
            raise ProtocolError(
                f"version {instruction.base} of the model is not here any more; "
                f"the server has to send it whole"
            )
        layout = held.layout
        state, raw = read_pieces(_blob(arrays), from_text(instruction.downlink), layout, held.state)
        exact = layout.unpack_exact(raw)
    if model_digest(state[MODEL]) != instruction.model_digest:
        raise ProtocolError("the model is not the server's; it has to be sent whole")
    shadow = Shadow(instruction.epoch, instruction.version, layout, state)
    return layout.arrays(state[MODEL], exact), shadow


def _is_there(held: Shadow, instruction: Instruction) -> bool:
    """Return whether a client holds the model already that the messages lead to."""
    return (held.epoch, held.version) == (
        instruction.epoch,
        instruction.version,
    ) and model_digest(held.state[MODEL]) == instruction.model_digest


def _direction(raw: bytes, layout: Layout) -> NDArray[Any]:
    if len(raw) != layout.size * layout.dtype.itemsize:
        raise ProtocolError(f"the direction has {len(raw)} bytes, which does not fit the model")
    return np.frombuffer(raw, layout.dtype)


def _blob(arrays: ArrayRecord) -> bytes:
    found = list(arrays.values())
    if len(found) != 1:
        raise ProtocolError(f"an update of the model is one Array, got {len(found)}")
    return bytes(found[0].data)
