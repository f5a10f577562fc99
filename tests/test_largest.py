"""Selection of the largest entries: the blocked search finds what sorting finds."""

import numpy as np
import pytest

from fl_ef21.compressors import TopK
from fl_ef21.compressors import largest as module
from fl_ef21.compressors.largest import largest

LARGE = module._SMALL + 12_345
"""Long enough for the blocked search, and no multiple of a block."""

RNG = np.random.default_rng(21)


def sorted_largest(vector, k):
    """Sort by magnitude, then by position; zeros are not sent."""
    order = np.lexsort((np.arange(vector.size), -np.abs(vector)))[:k]
    chosen = np.sort(order[vector[order] != 0])
    return chosen, vector[chosen]


def misleading():
    """Large where the sample looks and nowhere else."""
    vector = np.full(LARGE, 1e-3) * RNG.uniform(0.5, 1, LARGE)
    vector[module._sample_positions(LARGE)] += 1
    return vector


def underestimated():
    """Small where the sample looks: far more entries survive than expected."""
    vector = RNG.uniform(1, 2, LARGE)
    vector[module._sample_positions(LARGE)] = 1e-6
    return vector


def with_zeros(share):
    vector = RNG.normal(size=LARGE)
    vector[RNG.random(LARGE) < share] = 0
    return vector


VECTORS = {
    "normal": RNG.normal(size=LARGE),
    "heavy tails": RNG.standard_cauchy(LARGE),
    "few values, many ties": RNG.integers(-3, 4, LARGE).astype(float),
    "constant": np.full(LARGE, -2.5),
    "zero": np.zeros(LARGE),
    "one entry": np.eye(1, LARGE, 77_777)[0],
    "mostly zero": with_zeros(0.9999),
    "half zero": with_zeros(0.5),
    "rising": np.arange(LARGE, dtype=float),
    "falling": np.arange(LARGE, dtype=float)[::-1].copy(),
    "periodic": np.tile([0, 0, 0, 5.0, 0, 0, 0, -1], LARGE // 8 + 1)[:LARGE],
    "one block only": np.where(np.arange(LARGE) < 3000, 9.0, 1e-9) * RNG.normal(size=LARGE),
    "misleading sample": misleading(),
    "underestimated": underestimated(),
    "subnormals": RNG.integers(-9, 10, LARGE) * 5e-324,
    "largest floats": RNG.choice([-1, 1], LARGE) * np.finfo(float).max * RNG.random(LARGE),
}
every_vector = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)


@every_vector
@pytest.mark.parametrize("k", [1, 7, 1400, 20_000, LARGE // 4, LARGE // 2, LARGE])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_are_those_that_sorting_finds(vector, k, dtype):
    with np.errstate(over="ignore"):
        vector = np.clip(vector, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
    indices, values = largest(vector, k)
    expected_indices, expected_values = sorted_largest(vector, k)
    np.testing.assert_array_equal(indices, expected_indices)
    assert values.tobytes() == expected_values.tobytes()


@every_vector
def test_of_a_difference_that_is_never_made(vector):
    reference = RNG.normal(size=LARGE)
    indices, values = largest(vector, 1400, reference)
    expected_indices, expected_values = sorted_largest(vector - reference, 1400)
    np.testing.assert_array_equal(indices, expected_indices)
    assert values.tobytes() == expected_values.tobytes()


def test_a_misleading_sample_falls_back_to_all_entries(monkeypatch):
    calls = []
    whole = module._Survivors.all
    monkeypatch.setattr(module._Survivors, "all", lambda vector: calls.append(1) or whole(vector))
    largest(VECTORS["normal"], 1400)
    assert not calls
    largest(VECTORS["misleading sample"], module._SAMPLE)
    assert calls


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, module._BLOCK - 1, module._BLOCK, LARGE - 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_single_bad_entry_is_found_wherever_it_is(bad, position, dtype):
    vector = RNG.normal(size=LARGE).astype(dtype)
    vector[position] = bad
    for attempt in (
        lambda: TopK(1400).compress(vector, RNG),
        lambda: TopK(1400).compress_difference(vector, np.ones_like(vector), RNG),
        lambda: TopK(1400).compress_difference(np.ones_like(vector), vector, RNG),
    ):
        with pytest.raises(ValueError, match=f"finite values, got .* at position {position};"):
            attempt()


def test_the_search_takes_little_memory():
    import tracemalloc

    vector = RNG.normal(size=10 * LARGE).astype(np.float32)
    reference = vector.copy()
    largest(vector, 1000, reference)
    tracemalloc.start()
    largest(vector, 1000, reference)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < vector.nbytes / 3
