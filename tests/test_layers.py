"""Blocks, supports and low rank: compressors that look at where coordinates are."""

import numpy as np
import pytest

from fl_ef21.compressors import (
    Dense,
    Identity,
    LowRankMessage,
    Parts,
    RandK,
    Sparse,
    TopK,
    from_text,
)
from fl_ef21.compressors.blockwise import PART_BYTES, Block, Blockwise, blockwise
from fl_ef21.compressors.form import PLAIN, Form
from fl_ef21.compressors.low_rank import LowRank
from fl_ef21.compressors.restricted import Restricted
from fl_ef21.compressors.support import Support
from fl_ef21.methods import EF21, MARINA
from fl_ef21.wire import FRAMING_BYTES, WireError, decode, encode


def normal(size, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=size).astype(dtype)


def rng(seed=0):
    return np.random.default_rng(seed)


def through_the_wire(message, **support):
    decoded = decode(encode(message, **support), size=message.size, **support)
    assert decoded == message
    return decoded


# Blocks

LAYERS = [Block(300, TopK(0.1)), Block(200, TopK(5)), Block(10, Identity())]


def test_every_block_is_compressed_by_its_own_compressor():
    vector = normal(510)
    message = through_the_wire(blockwise(LAYERS).compress(vector, rng()))
    expected = [
        block.compressor.compress(part, rng()).to_dense()
        for block, part in zip(LAYERS, np.split(vector, [300, 500]), strict=True)
    ]
    np.testing.assert_array_equal(message.to_dense(), np.concatenate(expected))


def test_sparse_neighbours_are_one_part():
    message = blockwise(LAYERS).compress(normal(510), rng())
    assert [type(part) for part in message.parts] == [Sparse, Dense]
    assert isinstance(blockwise(LAYERS[:2]).compress(normal(500), rng()), Sparse)


@pytest.mark.parametrize(
    "texts",
    [["topk:0.1", "identity"], ["sign", "sign"], ["qsgd:4", "topk:2|natural", "lowrank:1"]],
    ids=str,
)
def test_parts_go_through_the_wire_within_their_declared_length(texts):
    blocks = [Block(100 + i, from_text(text)) for i, text in enumerate(texts)]
    compressor = blockwise(blocks)
    size = sum(block.size for block in blocks)
    for dtype in (np.float32, np.float64):
        message = through_the_wire(compressor.compress(normal(size, dtype=dtype), rng()))
        most = FRAMING_BYTES + compressor.max_bytes(size, np.dtype(dtype))
        assert len(encode(message)) <= most


@pytest.mark.parametrize(
    "blocks",
    [
        [Block(20_000, from_text("topk:0.4|natural-nearest")), Block(300, TopK(0.1))],
        [Block(500_000, TopK(3)), Block(20_000, from_text("topk:0.5|bfloat16"))],
        [Block(300_000, TopK(3)), Block(3_000, TopK(0.5))],
    ],
    ids=lambda blocks: str(blockwise(blocks)),
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_joined_neighbours_stay_within_their_declared_length(blocks, dtype):
    compressor = blockwise(blocks)
    message = compressor.compress(normal(compressor.size, dtype=dtype), rng())
    assert isinstance(message, Sparse)
    most = compressor.max_bytes(compressor.size, np.dtype(dtype))
    assert len(encode(message)) <= FRAMING_BYTES + most


def test_parts_come_back_where_the_form_allows_them_and_nowhere_else():
    compressor = blockwise([Block(40, from_text("lowrank:2")), Block(30, from_text("sign"))])
    assert compressor.form == Form(rank=2, parts=2)
    data = encode(compressor.compress(normal(70), rng()))
    assert isinstance(decode(data, size=70, form=compressor.form), Parts)
    for form, part in [
        (Form(rank=2, parts=1), "2 parts are more than 1"),
        (Form(rank=1, parts=2), "rank 2 is above 1"),
        (PLAIN, "2 parts are more than 0"),
    ]:
        with pytest.raises(WireError, match=part):
            decode(data, size=70, form=form)


def test_the_promise_of_blocks_is_the_weakest_of_theirs():
    assert blockwise(LAYERS).alpha(510) == 5 / 200
    assert blockwise([Block(4, from_text("unbiased-randk:2")), Block(9, Identity())]).omega(13) == 1
    natural = from_text("natural")
    both = blockwise([Block(9, natural), Block(4, Identity())])
    assert (both.alpha(13), both.omega(13)) == (natural.alpha(9), natural.omega(9))
    MARINA().check(both)
    EF21().check(both)
    mixed = blockwise([Block(9, TopK(1)), Block(9, from_text("qsgd:1"))])
    assert not hasattr(mixed, "alpha")
    assert not hasattr(mixed, "omega")


def test_blocks_contract_with_the_smallest_alpha():
    compressor = blockwise(LAYERS)
    for seed in range(50):
        vector = normal(510, seed) * np.repeat(10.0 ** normal(3, seed), [300, 200, 10])
        error = np.sum((compressor.compress(vector, rng()).to_dense() - vector) ** 2)
        assert error <= (1 - compressor.alpha(510)) * np.sum(vector**2)


def test_the_difference_is_compressed_block_by_block():
    vector, reference = normal(510), normal(510, 1)
    expected = blockwise(LAYERS).compress(vector - reference, rng())
    assert blockwise(LAYERS).compress_difference(vector, reference, rng()) == expected


def test_blocks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least one block"):
        Blockwise([])
    with pytest.raises(ValueError, match="k=5 is above the number of coordinates, 4"):
        blockwise([Block(4, TopK(5))])
    with pytest.raises(ValueError, match="hold 510 coordinates, not 9"):
        blockwise(LAYERS).compress(normal(9), rng())


def test_a_part_takes_little_framing():
    message = Parts(tuple(Sparse(1000, np.zeros(0, np.int64), np.zeros(0)) for _ in range(50)))
    assert len(encode(message)) <= FRAMING_BYTES + 50 * PART_BYTES


# Supports

OWNED = Support.of(1000, range(3, 1000, 10))


@pytest.mark.parametrize("text", ["topk:3", "randk:0.1", "topk:0.1|natural", "sign", "identity"])
def test_a_restricted_compressor_works_within_its_support(text):
    inner = from_text(text)
    restricted, vector = Restricted(inner, OWNED), normal(1000)
    message = through_the_wire(restricted.compress(vector, rng(1)), support=OWNED)
    inside = inner.compress(vector[OWNED.indices], rng(1)).to_dense()
    expected = np.zeros(1000)
    expected[OWNED.indices] = inside
    np.testing.assert_array_equal(message.to_dense(), expected)
    assert restricted.alpha(1000) == inner.alpha(100)


def test_positions_within_a_support_take_fewer_bits():
    message = Restricted(TopK(20), OWNED).compress(normal(1000, dtype=np.float32), rng())
    assert len(encode(message, support=OWNED)) <= len(encode(message)) - 20 * 2 // 8
    whole = Restricted(Identity(), OWNED).compress(normal(1000, dtype=np.float32), rng())
    assert len(encode(whole, support=OWNED)) <= 4 * 100 + FRAMING_BYTES


def test_vectors_on_the_support_contract_with_its_alpha():
    vector = np.zeros(1000)
    vector[OWNED.indices] = normal(100)
    message = Restricted(TopK(10), OWNED).compress(vector, rng())
    assert np.sum((message.to_dense() - vector) ** 2) <= 0.9 * np.sum(vector**2)


def test_ends_with_different_supports_do_not_understand_each_other():
    other = Support.of(1000, range(0, 1000, 9))
    message = Restricted(TopK(3), OWNED).compress(normal(1000), rng())
    with pytest.raises(WireError, match="size is 100 instead of 112"):
        decode(encode(message, support=OWNED), size=1000, support=other)
    with pytest.raises(WireError, match="outside the client's support"):
        encode(Sparse(1000, np.array([4]), np.ones(1)), support=OWNED)
    with pytest.raises(WireError, match="only a sparse message of size 1000"):
        encode(Dense(np.ones(1000)), support=OWNED)


BAD_SUPPORTS = {
    "empty": np.zeros(0, np.int64),
    "int32": np.array([1, 2], np.int32),
    "falling": np.array([2, 1]),
    "equal": np.array([1, 1]),
    "negative": np.array([-1, 1]),
    "at size": np.array([1, 5]),
    "two axes": np.array([[1, 2]]),
}


@pytest.mark.parametrize("indices", BAD_SUPPORTS.values(), ids=BAD_SUPPORTS)
def test_bad_supports_are_refused(indices):
    with pytest.raises(ValueError, match=r"increase strictly within \[0, 5\)"):
        Support(5, indices)


def test_restriction_is_refused_where_it_cannot_be():
    with pytest.raises(ValueError, match="contractive"):
        Restricted(from_text("unbiased-randk:2"), OWNED)
    with pytest.raises(ValueError, match="1000 coordinates, not in 9"):
        Restricted(TopK(1), OWNED).compress(normal(9), rng())
    with pytest.raises(ValueError, match="k=101 is above"):
        Restricted(TopK(101), OWNED).check_size(1000)
    with pytest.raises(ValueError, match="cannot be placed on a support"):
        Restricted(LowRank(2), OWNED).compress(normal(1000), rng())


# Low rank


def low_rank_matrix(rows, columns, rank, seed=0):
    return normal((rows, rank), seed) @ normal((columns, rank), seed + 1).T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [1, 3])
def test_a_matrix_of_low_rank_is_sent_whole(dtype, rank):
    vector = low_rank_matrix(20, 30, rank).ravel().astype(dtype)
    message = through_the_wire(LowRank(rank, columns=30).compress(vector, rng()))
    assert (message.rank, message.left.shape, message.right.shape) == (rank, (20, rank), (30, rank))
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(message.to_dense(), vector, atol=tolerance * np.abs(vector).max())


@pytest.mark.parametrize("size", [1, 2, 7, 100, 101])
@pytest.mark.parametrize("warm", [False, True])
def test_low_rank_contracts_in_expectation(size, warm):
    compressor = LowRank(1)
    vector = normal(size)
    if warm:
        compressor = compressor.warmed(normal(compressor.memory_size(size), 5))
    errors = [
        np.sum((through_the_wire(compressor.compress(vector, rng(s))).to_dense() - vector) ** 2)
        for s in range(300)
    ]
    bound = (1 - compressor.alpha(size)) * np.sum(vector**2)
    deviation = np.std(errors) / np.sqrt(len(errors))
    assert np.mean(errors) <= bound + 5 * deviation + 1e-12 * np.sum(vector**2)


def test_the_memory_of_the_last_message_makes_the_next_one_better():
    noise = normal((40, 40), 3)
    vector = (low_rank_matrix(40, 40, 2) + 0.3 * noise).ravel()
    cold, warm = LowRank(2), LowRank(2)
    for _ in range(4):
        message = warm.compress(vector, rng(9))
        warm = warm.warmed(message.memory())
    error = np.sum((message.to_dense() - vector) ** 2)
    colder = [np.sum((cold.compress(vector, rng(s)).to_dense() - vector) ** 2) for s in range(20)]
    assert error < np.mean(colder)
    best = np.sum(np.linalg.svd(vector.reshape(40, 40), compute_uv=False)[2:] ** 2)
    assert best <= error <= 1.02 * best


def test_a_memory_that_does_not_fit_is_not_used():
    vector = normal(100)
    message = LowRank(1).warmed(np.ones(3)).compress(vector, rng())
    assert message == LowRank(1).compress(vector, rng())


def test_low_rank_takes_the_columns_of_the_array():
    assert LowRank(2).for_shape((10, 3, 5, 5)) == LowRank(2, columns=75)
    assert LowRank(2).for_shape((10,)) == LowRank(2)
    assert LowRank(2, columns=7).for_shape((10, 3)) == LowRank(2, columns=7)


def test_blocks_keep_the_memories_of_their_layers():
    blocks = [Block(100, LowRank(1)), Block(50, TopK(2)), Block(60, LowRank(1, columns=6))]
    compressor = blockwise(blocks)
    first = compressor.compress(normal(210), rng())
    assert first.memory().size == compressor.memory_size(210) == 10 + 6
    warmed = compressor.warmed(first.memory())
    assert [b.compressor.memory_size(b.size) for b in warmed.blocks] == [10, 0, 6]
    assert warmed.compress(normal(210), rng(1)) != compressor.compress(normal(210), rng(1))
    assert compressor.warmed(np.ones(3)) is compressor


@pytest.mark.parametrize(
    "vector",
    [np.zeros(49), np.full(49, 5e-324), np.full(49, np.finfo(np.float32).max, np.float32)],
    ids=["zero", "subnormal", "largest"],
)
def test_low_rank_of_extreme_vectors(vector):
    message = through_the_wire(LowRank(1).compress(vector, rng()))
    with np.errstate(over="ignore"):  # of the comparison
        np.testing.assert_allclose(message.to_dense(), vector, rtol=1e-5, atol=1e-323)


def test_low_rank_is_the_same_on_every_machine():
    left, right = normal((4, 2)), normal((3, 2), 1)
    message = LowRankMessage(11, left, right)
    by_hand = left[:, :1] * right[:, 0] + left[:, 1:] * right[:, 1]
    np.testing.assert_array_equal(message.to_dense(), by_hand.ravel()[:11])
    assert message.bound() >= np.abs(by_hand).max()


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1.5,), (True,), ("2",), (1, 0), (1, 2.0)])
def test_bad_ranks_are_refused(arguments):
    with pytest.raises(ValueError, match="is not a whole number from 1 up"):
        LowRank(*arguments)


@pytest.mark.parametrize("text", ["lowrank", "lowrank:x", "lowrank:1:2:3", "lowrank:-1"])
def test_bad_texts_are_refused(text):
    with pytest.raises(ValueError, match="lowrank takes a rank"):
        from_text(text)


def test_a_rank_above_the_smaller_side_is_refused():
    with pytest.raises(ValueError, match=r"rank 3 is above the smaller side of a 2×5 matrix"):
        LowRank(3, columns=5).compress(normal(10), rng())


def test_random_blocks_draw_from_one_generator():
    compressor = blockwise([Block(50, RandK(5)), Block(50, RandK(5))])
    message = compressor.compress(np.ones(100), rng())
    first, second = np.split(message.to_dense(), 2)
    assert not np.array_equal(first, second)
