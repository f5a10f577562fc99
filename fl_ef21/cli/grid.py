"""The text of a grid: which values each setting takes in turn."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

Combination = dict[str, str]

QUOTES: Final = "\"'"


def combinations(grids: Sequence[str]) -> list[Combination]:
    """Return every combination of each grid, in order, none of them twice.

    A grid is ``key=value,value key=value``: words between spaces, values between commas. A value
    with a space or a comma, or an empty one, stands in quotes; a backslash takes the next character
    as it is. Several grids are added up, not multiplied: so a method may come with its compressor.

    Parameters
    ----------
    grids : sequence of str
        At least one.

    Raises
    ------
    ValueError
        If a text is no grid.

    Examples
    --------
    >>> combinations(["compressor=topk:1,topk:5 rounds=9"])
    [{'compressor': 'topk:1', 'rounds': '9'}, {'compressor': 'topk:5', 'rounds': '9'}]
    >>> combinations(["method=ef21 downlink='',topk:1", "method=diana"])[1:]
    [{'method': 'ef21', 'downlink': 'topk:1'}, {'method': 'diana'}]
    """
    found: list[Combination] = []
    for grid in grids:
        axes = _axes(grid)
        for values in product(*axes.values()):
            combination = dict(zip(axes, values, strict=True))
            if combination not in found:
                found.append(combination)
    return found


def _axes(grid: str) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for word in _split(grid, " \t\n"):
        if not word:
            continue  # several spaces
        key, equals, values = word.partition("=")
        if not (key and equals):
            raise ValueError(f"{word!r} in the grid has no setting; give key=value,value")
        if key in axes:
            raise ValueError(f"{key!r} stands twice in the grid; give all its values at once")
        axes[key] = [_unquoted(value, key) for value in _split(values, ",")]
    if not axes:
        raise ValueError("the grid is empty; give key=value,value")
    return axes


def _split(text: str, separators: str) -> list[str]:
    """Split at separators that are neither quoted nor escaped, which stay as they are."""
    parts, quote = [""], ""
    for piece in _pieces(text):
        if not quote and piece in separators:
            parts.append("")
            continue
        if piece in QUOTES and quote in ("", piece):
            quote = "" if quote else piece
        parts[-1] += piece
    if quote:
        raise ValueError(f"the quote {quote} in {text!r} is not closed")
    return parts


def _unquoted(value: str, key: str) -> str:
    if not value:
        raise ValueError(f"a value of {key!r} is empty; write '' if it is meant to be")
    text, quote = "", ""
    for piece in _pieces(value):
        if piece in QUOTES and quote in ("", piece):
            quote = "" if quote else piece
        else:
            text += piece[-1]
    return text


def _pieces(text: str) -> Iterator[str]:
    """Yield the characters, each backslash together with what it protects."""
    letters = iter(text)
    for letter in letters:
        yield letter + next(letters, "") if letter == "\\" else letter
