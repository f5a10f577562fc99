"""Which arrays of a model are compressed, together or one by one, and which travel exact."""

from dataclasses import dataclass
from numbers import Integral
from typing import Final

from fl_ef21.compressors import Compressor, Identity
from fl_ef21.compressors.blockwise import Block, blockwise
from fl_ef21.flower.protocol.layout import ArraySpec, Layout

SCOPES: Final = ("global", "layer")


@dataclass(frozen=True)
class LayerPolicy:
    """How a compressor meets the arrays of a model.

    Parameters
    ----------
    scope : {"global", "layer"}
        ``global``: all arrays are one vector, so that Top-k spends its coordinates where they
        matter. ``layer``: each array is compressed by itself, and k or a ratio are those of each.
    exact_below : int
        Float arrays with fewer elements are not compressed: biases and norms cost little and
        matter much. Integer arrays never are.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    scope: str = "global"
    exact_below: int = 0

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise ValueError(f"scope={self.scope!r} is unknown; choose one of {', '.join(SCOPES)}")
        below = self.exact_below
        if not isinstance(below, Integral) or isinstance(below, bool) or not 0 <= below < 2**40:
            raise ValueError(
                f"exact_below={below!r} is not a whole number of elements from 0 up; "
                f"0 compresses every float array"
            )

    def compressor(self, layout: Layout, compressor: Compressor) -> Compressor:
        """Return the compressor of the whole vector.

        Raises
        ------
        ValueError
            If ``compressor`` does not fit the arrays, or all of them are small.
        """
        large = [spec for spec in layout.float_specs if spec.size >= self.exact_below]
        small = sum(spec.size for spec in layout.float_specs) - sum(spec.size for spec in large)
        if not large:
            raise ValueError(f"exact_below={self.exact_below} leaves nothing to compress: {layout}")
        if self.scope == "layer":
            blocks = [Block(spec.size, _fitting(compressor, spec)) for spec in large]
        else:
            blocks = [Block(sum(spec.size for spec in large), compressor)]
        if small:
            blocks.append(Block(small, Identity()))
        if len(blocks) == 1:
            blocks[0].compressor.check_size(layout.size)
            return blocks[0].compressor
        return blockwise(blocks)


def _fitting(compressor: Compressor, spec: ArraySpec) -> Compressor:
    """Return the compressor for one array."""
    try:
        compressor = compressor.for_shape(spec.shape)
        compressor.check_size(spec.size)
    except ValueError as error:
        raise ValueError(f"array {spec}: {error}; exact_below lets small arrays out") from error
    return compressor
