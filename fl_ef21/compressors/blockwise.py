"""One compressor for each of several consecutive blocks of a vector, such as a model's layers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeGuard

import numpy as np

from fl_ef21.compressors.composition import Composition
from fl_ef21.compressors.compressor import Compressor, Contractive, Unbiased
from fl_ef21.compressors.form import Form
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Message, Sparse, Vector
from fl_ef21.compressors.parts import Parts
from fl_ef21.compressors.selection import Selection

PART_BYTES = 20
"""Most bytes of framing that a part takes on the wire beside its indices and values."""


@dataclass(frozen=True)
class Block:
    """The next ``size`` coordinates and what compresses them."""

    size: int
    compressor: Compressor


class Blockwise(Compressor):
    """Compress consecutive blocks of coordinates, each by a compressor of its own.

    The parts of the message are those of the blocks; sparse neighbours are joined into one part.
    Build it with :func:`blockwise`, which gives it the promise that all blocks make.

    Parameters
    ----------
    blocks : sequence of Block
        At least one; their sizes sum to d.

    Raises
    ------
    ValueError
        If there is no block, or a compressor does not fit its block.
    """

    name = "blockwise"

    def __init__(self, blocks: Sequence[Block]) -> None:
        if not blocks:
            raise ValueError("a blockwise compressor needs at least one block")
        for block in blocks:
            block.compressor.check_size(block.size)
        self.blocks = tuple(blocks)
        self.random = any(block.compressor.random for block in blocks)
        self.shared_randomness = any(block.compressor.shared_randomness for block in blocks)
        self.size = sum(block.size for block in blocks)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Refuse: blocks do not travel in a text."""
        raise ValueError(f"blockwise has no text, got {':'.join(arguments)!r}; use blockwise()")

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if d is not the sum of the blocks' sizes."""
        if size != self.size:
            raise ValueError(f"the blocks hold {self.size} coordinates, not {size}")

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the sum over all blocks, framing of the parts included.

        Blocks that are joined share their codes: positions are then those of the whole vector, and
        values are full ones if those of one block are.
        """
        self.check_size(size)
        joined = (size - 1).bit_length() + 8 * dtype.itemsize
        return PART_BYTES * len(self.blocks) + sum(
            max(b.compressor.max_bytes(b.size, dtype), stream_bytes(_most_positions(b), joined))
            for b in self.blocks
        )

    @property
    def form(self) -> Form:
        """A part for each block at the most, each of a form of its block's."""
        rank = max(block.compressor.form.rank for block in self.blocks)
        return Form(rank, parts=len(self.blocks))

    def memory_size(self, size: int) -> int:
        """Return the sum over all blocks."""
        self.check_size(size)
        return sum(block.compressor.memory_size(block.size) for block in self.blocks)

    def warmed(self, memory: Vector) -> Compressor:
        """Return the compressor whose blocks each start from their part of a memory."""
        if memory.size != self.memory_size(self.size):
            return self
        blocks, position = [], 0
        for block in self.blocks:
            end = position + block.compressor.memory_size(block.size)
            part = memory[position:end]
            blocks.append(Block(block.size, block.compressor.warmed(part)))
            position = end
        return blockwise(blocks)

    def compress_difference(
        self, vector: Vector, reference: Vector, rng: np.random.Generator
    ) -> Message:
        """Compress the difference block by block."""
        self.check_size(vector.size)
        return _joined(
            compressor.compress_difference(vector[place], reference[place], rng)
            for place, compressor in self._places()
        )

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        self.check_size(vector.size)
        return _joined(
            compressor.compress(vector[place], rng) for place, compressor in self._places()
        )

    def _places(self) -> Iterator[tuple[slice, Compressor]]:
        position = 0
        for block in self.blocks:
            yield slice(position, position + block.size), block.compressor
            position += block.size

    def __str__(self) -> str:
        texts = ", ".join(f"{block.size} by {block.compressor}" for block in self.blocks)
        return f"blocks of {texts}"


class ContractiveBlockwise(Blockwise, Contractive):
    """Blocks whose compressors are all contractive: α is the smallest of theirs (derived here)."""

    def alpha(self, size: int) -> float:
        """Return the smallest α: Σ(1 − αₗ)‖vₗ‖² ≤ (1 − min α)‖v‖²."""
        self.check_size(size)
        return min(_contractive(block.compressor).alpha(block.size) for block in self.blocks)


class UnbiasedBlockwise(Blockwise, Unbiased):
    """Blocks whose compressors are all unbiased: ω is the largest of theirs (derived here)."""

    def omega(self, size: int) -> float:
        """Return the largest ω: Σ ωₗ‖vₗ‖² ≤ max ω · ‖v‖²."""
        self.check_size(size)
        return max(_unbiased(block.compressor).omega(block.size) for block in self.blocks)


class ContractiveUnbiasedBlockwise(ContractiveBlockwise, UnbiasedBlockwise):
    """Blocks whose compressors are all both, such as identity and natural."""


def blockwise(blocks: Sequence[Block]) -> Blockwise:
    """Return the compressor of these blocks, contractive and unbiased as far as all of theirs are.

    Examples
    --------
    >>> from fl_ef21.compressors.identity import Identity
    >>> from fl_ef21.compressors.top_k import TopK
    >>> layers = blockwise([Block(3, TopK(1)), Block(2, Identity())])
    >>> vector = np.array([1.0, 5.0, 2.0, 3.0, 4.0])
    >>> layers.compress(vector, np.random.default_rng(0)).to_dense()
    array([0., 5., 0., 3., 4.])
    """
    contract = all(isinstance(block.compressor, Contractive) for block in blocks)
    unbiased = all(isinstance(block.compressor, Unbiased) for block in blocks)
    if contract and unbiased:
        return ContractiveUnbiasedBlockwise(blocks)
    if contract:
        return ContractiveBlockwise(blocks)
    return UnbiasedBlockwise(blocks) if unbiased else Blockwise(blocks)


def _most_positions(block: Block) -> int:
    """Return the most coordinates that a block's message names by their positions."""
    compressor = block.compressor
    if isinstance(compressor, Composition):
        compressor = compressor.selection
    return compressor.count(block.size) if isinstance(compressor, Selection) else block.size


def _contractive(compressor: Compressor) -> Contractive:
    assert isinstance(compressor, Contractive)
    return compressor


def _unbiased(compressor: Compressor) -> Unbiased:
    assert isinstance(compressor, Unbiased)
    return compressor


def _joined(messages: Iterator[Message]) -> Message:
    """Return the parts side by side, with sparse neighbours without a step joined into one."""
    parts: list[Message] = []
    for message in messages:
        before = parts[-1] if parts else None
        if _is_plain(before) and _is_plain(message):
            parts[-1] = _join(before, message)
        else:
            parts.append(message)
    return parts[0] if len(parts) == 1 else Parts(tuple(parts))


def _is_plain(message: Message | None) -> TypeGuard[Sparse]:
    return isinstance(message, Sparse) and message.step is None


def _join(first: Sparse, second: Sparse) -> Sparse:
    return Sparse(
        first.size + second.size,
        np.concatenate([first.indices, second.indices + first.size]),
        np.concatenate([first.values, second.values]),
    )
