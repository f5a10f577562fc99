"""Messages of every kind and code, for the tests of the wire and for the fuzzer's first corpus."""

import numpy as np

from fl_ef21.compressors.fresh import Fresh
from fl_ef21.compressors.low_rank_message import LowRankMessage
from fl_ef21.compressors.message import Dense, Sparse
from fl_ef21.compressors.parts import Parts
from fl_ef21.compressors.support import Support

HUGE = 2**31
LARGEST = 2**40


def dense(values, dtype=np.float32, step=None):
    return Dense(np.array(values, dtype), step)


def sparse(size, indices, values, dtype=np.float32, step=None):
    return Sparse(size, np.array(indices, np.int64), np.array(values, dtype), step)


def normal(count, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=count).astype(dtype)


def uniform(size, k, seed=0):
    """k positions out of ``size``, each set as likely as any other."""
    return np.sort(np.random.default_rng(seed).choice(size, k, replace=False))


def clustered(size, k, seed=0):
    """k positions in runs, as in the rows of an embedding that a batch touches."""
    starts = np.random.default_rng(seed).choice(size // 16, -(-k // 12), replace=False) * 16
    return np.sort((starts[:, None] + np.arange(12)).ravel()[:k])


def powers_of_two(values):
    """Sign and exponent alone: natural compression, rounded down."""
    _, exponents = np.frexp(values)
    return np.where(values == 0, values, np.ldexp(np.copysign(0.5, values), exponents)).astype(
        values.dtype
    )


def bfloat16(values):
    """The upper half of every float32."""
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def multiples(levels, step, dtype=np.float32):
    """Dense multiples of a step, as a quantiser makes them: −0 is none."""
    return Dense(np.array(levels).astype(np.int64).astype(dtype) * dtype(step), step)


def low_rank(size, columns, rank, dtype=np.float32):
    rows = -(-size // columns)
    return LowRankMessage(
        size,
        normal(rows * rank, dtype).reshape(rows, rank),
        normal(columns * rank, dtype, seed=1).reshape(columns, rank),
    )


F32, F64 = np.finfo(np.float32), np.finfo(np.float64)

EXAMPLES = {
    "dense-zeros": dense([0.0, -0.0]),
    "dense-raw": Dense(normal(5)),
    "dense-float64": Dense(normal(5, np.float64)),
    "dense-one": dense([1.5]),
    "dense-subnormals": dense([5e-324, -2e-310], np.float64),
    "dense-smallest-float32": dense([1e-45, -1e-45, 0, F32.tiny]),
    "dense-largest": dense([F32.max, -F32.max]),
    "dense-largest-float64": dense([F64.max, -F64.max, F64.tiny], np.float64),
    "dense-powers": Dense(powers_of_two(normal(40))),
    "dense-powers-float64": Dense(powers_of_two(normal(40, np.float64))),
    "dense-bfloat16": Dense(bfloat16(normal(30))),
    "dense-bfloat16-huffman": Dense(bfloat16(normal(200))),
    "dense-signs": Dense(np.sign(normal(300)) * np.float32(0.37)),
    "dense-constant-64": dense(np.full(64, 1.1)),
    "dense-constant-65": dense(np.full(65, 1.1)),
    "dense-constant-5000": dense(np.full(5000, 2.0)),
    "dense-ternary": multiples(np.sign(normal(300).round()), 0.037),
    "levels": multiples([3, -1, 0], 0.1),
    "levels-float64": multiples(np.arange(-20, 20), 0.3, np.float64),
    "levels-huffman": multiples(normal(300).round(), 0.1),
    "levels-wide": multiples((1e5 * normal(60, np.float64)).round(), 0.1, np.float64),
    "levels-of-wrong-step": dense([0.1, 0.25], step=0.07),
    "sparse-none": sparse(300, [], []),
    "sparse-none-of-one": sparse(1, [], []),
    "sparse-one-of-one": sparse(1, [0], [-0.0]),
    "sparse-one-of-300": sparse(300, [7], [0.5]),
    "sparse-powers-of-68": sparse(68, [5, 17, 60], [0.5, -2, 0.25]),
    "sparse-all": sparse(6, range(6), [1, -1, 0, -0.0, 1e-45, 3e38]),
    "sparse-all-of-200": Sparse(200, np.arange(200), normal(200)),
    "sparse-all-but-one": sparse(1000, [i for i in range(1000) if i != 500], np.ones(999)),
    "sparse-two-thirds": Sparse(300, uniform(300, 200), bfloat16(normal(200))),
    "sparse-half": sparse(40, range(0, 40, 2), np.ones(20)),
    "sparse-rice": Sparse(5000, uniform(5000, 60), normal(60)),
    "sparse-rice-planes": Sparse(20000, uniform(20000, 150), powers_of_two(normal(150))),
    "sparse-rice-float64": Sparse(20000, uniform(20000, 50), normal(50, np.float64)),
    "sparse-bitmap": Sparse(200, uniform(200, 90), powers_of_two(normal(90))),
    "sparse-classes": Sparse(10**5, clustered(10**5, 300), powers_of_two(normal(300))),
    "sparse-two-runs": sparse(10**6, [*range(500), *range(9 * 10**5, 900_500)], np.ones(1000)),
    "sparse-every-hundredth": sparse(10**6, range(0, 10**4, 100), np.ones(100)),
    "sparse-ends-of-huge": sparse(HUGE, [0, HUGE - 1], [1, 2], np.float64),
    "sparse-run-of-huge": sparse(HUGE, range(HUGE - 50, HUGE), np.ones(50)),
    "sparse-ends-of-largest": sparse(LARGEST, [0, LARGEST - 1], [1, 2]),
    "sparse-levels": sparse(500, range(3, 500, 31), range(17), np.float64, step=1.0),
    "low-rank-one": low_rank(1, 1, 1),
    "low-rank": low_rank(23, 5, 2),
    "low-rank-float64": low_rank(30, 6, 3, np.float64),
    "low-rank-row": low_rank(7, 7, 1),
    "parts": Parts((sparse(3, [1], [2]), dense([1, 1]), low_rank(6, 3, 1), sparse(9, [], []))),
    "fresh": Fresh(sparse(300, [7], [0.5])),
    "fresh-parts": Fresh(Parts((dense([0.1, 1.3]), low_rank(6, 3, 1)))),
    "parts-of-one": Parts((Dense(normal(4, np.float64)),)),
    "parts-of-many": Parts(tuple(sparse(50, [i], [2.0**i]) for i in range(20))),
    "parts-large": Parts(
        (Dense(bfloat16(normal(100))), Sparse(5000, uniform(5000, 80), normal(80)))
    ),
}
"""Message by name."""

SUPPORT = Support.of(1000, [10, 20, *range(500, 600)])
ON_SUPPORT = {
    "none": sparse(1000, [], []),
    "one": sparse(1000, [500], [0.5]),
    "some": sparse(1000, [10, 501, 555], [0.1, 0.2, 0.3], np.float64),
    "all": Sparse(1000, SUPPORT.indices, normal(102)),
    "levels": sparse(1000, [20, 599], [1.0, 7.0], step=1.0),
    "fresh": Fresh(sparse(1000, [20, 599], [0.1, 0.2])),
}
"""Message on ``SUPPORT`` by name."""
