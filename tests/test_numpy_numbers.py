"""numpy's numbers and arrays mean what Python's do, wherever a public constructor takes numbers."""

import numpy as np
import pytest
from quadratic_app import CLIENTS, Quadratics, options

from fl_ef21 import (
    DASHA,
    DIANA,
    EF21,
    EF21HB,
    EF21PAGE,
    EF21SGDM,
    EF21W,
    MARINA,
    Cloning,
    EControl,
    Natural,
    TopK,
)
from fl_ef21.compressors import LowRank, TopRows
from fl_ef21.methods.server import Adam, Box, Prox, Regularised, Schedule
from fl_ef21.theory import Constants, allocate, step_size

F, I = np.float32, np.int64  # noqa: E741
L_I = np.array([1, 2, 3, 5])

CONSTANTS = Constants(L=F(5), L_i=L_I.astype(F), mu=F(0.5))

# Each takes the types that numbers shall have: whole ones, and others, all exact in float32.
TEXTS = {
    "topk": lambda i, f: TopK(i(2)) | Natural(),
    "topk ratio": lambda i, f: TopK(f(0.25)),
    "toprows": lambda i, f: TopRows(f(0.5), columns=i(3)),
    "low rank": lambda i, f: LowRank(i(1)),
    "prox": lambda i, f: Prox("l1", f(0.5)),
    "box": lambda i, f: Box(i(-1), f(0.5)),
    "regularised": lambda i, f: Regularised("l2", i(2)),
    "adam": lambda i, f: Adam(f(0.5), f(0.5), f(0.25)),
    "schedule": lambda i, f: Schedule("cosine", f(0.5), i(9), f(0.25), i(2)),
    "constants": lambda i, f: Constants(L=f(5), L_i=[i(1), f(5)], mu=f(0.5)),
    "allocate": lambda i, f: allocate(i(8), [f(1), i(4)], [i(100), i(100)]),
    "step size": lambda i, f: step_size("ef21", Constants(f(2), [i(1), f(3)]), alpha=f(0.25)),
}


@pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("whole", "real"), [(I, F), (np.uint8, np.float64)])
def test_a_number_of_numpy_is_pythons(make, whole, real):
    whole = np.int8 if make is TEXTS["box"] else whole
    assert repr(make(whole, real)) == repr(make(int, float))
    assert str(make(whole, real)) == str(make(int, float))


STRATEGIES = {
    "smoothness, whole": lambda **o: EF21W(TopK(2), smoothness=L_I, **o),
    "smoothness, float32": lambda **o: EF21W(TopK(2), smoothness=L_I.astype(F), **o),
    "smoothness, float64": lambda **o: EF21W(TopK(2), smoothness=L_I / 2, **o),
    "smoothness by key": lambda **o: EF21W(
        TopK(2), smoothness={f"partition-id={i}": F(1) for i in range(CLIENTS)}, **o
    ),
    "cloning": lambda **o: Cloning(TopK(2), smoothness=L_I, **o),
    "probabilities": lambda **o: EF21(TopK(2), probabilities=np.ones(CLIENTS, F), **o),
    "whole probabilities": lambda **o: EF21(TopK(2), probabilities=np.ones(CLIENTS, int), **o),
    "budget": lambda **o: EF21(TopK(2), budget=I(12), constants=CONSTANTS, **o),
    "exact_below": lambda **o: EF21(TopK(2), exact_below=I(2), **o),
    "ratio_warmup": lambda **o: EF21(TopK(F(0.25)), ratio_warmup=I(3), **o),
    "seed": lambda **o: EF21(TopK(2), seed=np.uint64(3), **o),
    "min_replies": lambda **o: EF21(TopK(2), min_replies=I(2), **o),
    "checkpoint_every": lambda **o: EF21(TopK(2), checkpoint_every=I(2), **o),
    "norm_bound": lambda **o: EF21(TopK(2), norm_bound=I(100), **o),
    "norm_bound, float32": lambda **o: EF21(TopK(2), norm_bound=F(100), **o),
    "max_weight": lambda **o: EF21(TopK(2), max_weight=I(100), **o),
    "theory": lambda **o: EF21(TopK(2), "theory", constants=CONSTANTS, **o),
    "auto": lambda **o: EF21(TopK(2), "auto", constants=CONSTANTS, **o),
    "schedule": lambda **o: EF21(TopK(2), Schedule("linear", F(0.1), I(5)), **o),
    "fraction_train": lambda **o: EF21(TopK(2), fraction_train=F(0.5), **o),
    "momentum": lambda **o: EF21HB(TopK(2), F(0.1), momentum=F(0.5), **o),
    "eta": lambda **o: EF21SGDM(TopK(2), F(0.1), eta=F(0.5), **o),
    "eta of EControl": lambda **o: EControl(TopK(2), F(0.1), eta=F(0.25), **o),
    "probability": lambda **o: EF21PAGE(TopK(2), F(0.1), probability=F(0.5), **o),
    "marina": lambda **o: MARINA(Natural(), F(0.1), probability=F(0.5), **o),
    "diana": lambda **o: DIANA(Natural(), F(0.1), rate=F(0.5), **o),
    "dasha": lambda **o: DASHA(Natural(), F(0.1), rate=F(0.5), **o),
    "adam": lambda **o: EF21(TopK(2), server=Adam(tau=F(0.5)), **o),
}


@pytest.mark.parametrize("build", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("isolation", ["copied", "serialised"])
def test_a_run_takes_numpys_numbers(build, isolation, tmp_path):
    strategy = build(checkpoint_dir=tmp_path, **options())
    Quadratics().run(strategy, 2, isolation=isolation)
    assert all(row.clients and not row.rejections for row in strategy.history)
    assert (tmp_path / "round-000000002.checkpoint").exists()


BAD = {
    "a bool": (lambda: EF21(TopK(2), checkpoint_every=np.True_), "checkpoint_every"),
    "a share of rounds": (lambda: EF21(TopK(2), checkpoint_every=F(1.5)), "checkpoint_every"),
    "a probability above 1": (lambda: EF21(TopK(2), probabilities=np.array([2.0])), r"\(0, 1\]"),
    "a NaN": (lambda: EF21W(TopK(2), smoothness=np.array([np.nan])), "not positive"),
    "rows": (lambda: EF21W(TopK(2), smoothness=np.ones((2, 2))), "not positive"),
    "none at all": (lambda: EF21W(TopK(2), smoothness=np.array([])), "empty"),
    "a small bound": (lambda: EF21(TopK(2), norm_bound=I(1)), "norm_bound"),
}


@pytest.mark.parametrize(("build", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_of_numpys_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
