"""The index sets that benchmarks/wire.py codes, and what is published about such sets."""

import re
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Final

import numpy as np
from _report import power

PUBLISHED_UNIFORM: Final = {
    "Roaring bitmaps": "1.5–2.0",
    "Elias–Fano": "1.05–1.06",
    "Golomb–Rice": "1.004–1.013",
    "range coder on gaps": "1.000–1.005",
    "pcodec on gaps": "1.004–1.042",
}
"""Quoted: bytes / limit of uniform sets with d = 10⁶ to 10⁷ and k = 0.1 % to 1 %."""

PUBLISHED_RECORDED: Final = {
    (0, 0.01): (8.39, 6.63, 5.34),
    (20, 0.01): (8.40, 5.40, 5.08),
    (120, 0.01): (8.39, 5.25, 5.14),
    (0, 0.001): (11.92, 7.34, 5.63),
    (120, 0.001): (11.97, 4.24, 3.41),
}
"""Quoted bits per index by step and share, d = 1,841,024: Rice with one parameter, Rice with a
parameter for each 128 gaps, pcodec on the gaps."""

PUBLISHED_TIMES: Final = {
    "deltas, fixed width": (0.18, 0.22),
    "Elias–Fano (numpy)": (0.31, 1.33),
    "Golomb–Rice (numpy)": (0.34, 1.28),
    "range coder on gaps": (0.47, 3.3),
    "pcodec on gaps": (1.26, 0.19),
}
"""Quoted milliseconds to encode and to decode 10⁵ uniform indices, from another machine."""


@dataclass(frozen=True)
class Shape:
    """Where k positions below d come from; ``step`` is that of a recorded difference."""

    source: str
    size: int
    count: int
    step: int | None = None

    @property
    def share(self) -> float | None:
        """The one of 0.1 %, 1 % and 10 % that k/d is close to."""
        ratio = self.count / self.size
        return next((s for s in (0.001, 0.01, 0.1) if abs(log(ratio / s)) < log(1.5)), None)

    @property
    def amount(self) -> str:
        """K, as a share if it is not tiny."""
        return f"{100 * self.count / self.size:.2g} %" if self.count >= 10 else f"k = {self.count}"

    @property
    def name(self) -> str:
        """A row's label."""
        source = self.source if self.step is not None else f"{self.source}, d = {power(self.size)}"
        return f"{source}, {self.amount}"


@dataclass(frozen=True)
class IndexSets:
    """Sets of one shape, and values for them."""

    shape: Shape
    sets: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]


def uniform(size: int, count: int, rng: np.random.Generator) -> IndexSets:
    """Draw uniformly random sets with normal values, more of them where they are small."""
    repeats = max(1, min(300, 10**4 // count))
    sets = [rng.choice(size, count, replace=False, shuffle=False) for _ in range(repeats)]
    values = [rng.normal(size=count).astype(np.float32) for _ in range(repeats)]
    return IndexSets(Shape("uniform", size, count), tuple(map(np.sort, sets)), tuple(values))


def uniform_sets(rng: np.random.Generator) -> list[IndexSets]:
    """Draw tiny sets, then 0.1 %, 1 % and 10 % of 10⁴, 10⁶ and 10⁷."""
    tiny = [uniform(size, count, rng) for size in (68, 300) for count in (1, 3)]
    sizes, divisors = (10**4, 10**6, 10**7), (1000, 100, 10)
    return tiny + [uniform(size, size // by, rng) for size in sizes for by in divisors]


def recorded_sets(folder: Path) -> list[IndexSets]:
    """Read the recorded differences of a folder."""
    found = []
    for path in folder.glob("real_*_*.npz"):
        name = re.fullmatch(r"real_(\d+)_(\d+)", path.stem)
        if name:
            with np.load(path) as file:
                size, indices, values = int(file["d"]), file["idx"].astype(np.int64), file["v"]
            shape = Shape(f"step {name[1]}", size, indices.size, int(name[1]))
            found.append(IndexSets(shape, (indices,), (values,)))
    if not found:
        raise SystemExit(f"{folder} holds no real_<step>_<k>.npz; name the folder that does")
    return sorted(found, key=lambda sets: (-sets.shape.count, sets.shape.step))
