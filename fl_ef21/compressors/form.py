"""Which forms a compressor's messages can have, so that others can be refused unread."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Form:
    """What a message may be beside dense or sparse.

    Attributes
    ----------
    rank : int
        The largest rank of a low-rank message, 0 for none: folding one takes d times its rank.
    parts : int
        The most parts of a message in parts, 0 for none.
    """

    rank: int = 0
    parts: int = 0


PLAIN: Final = Form()
"""Of a message that is dense or sparse."""
