"""Seeded faults through the real strategies and mod, and that a broken log would be found."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fl_ef21.engine.faults import KINDS, Fault, FaultSchedule
from fl_ef21.engine.faults.cases import CASES, Quadratics
from fl_ef21.engine.faults.schedule import ALWAYS
from fl_ef21.engine.faults.simulator import Simulation, simulate
from fl_ef21.flower.audit import audit
from fl_ef21.flower.client.log import ClientLog
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.methods import EF21, Method
from fl_ef21.methods.estimate import RememberedEstimate

EXCHANGES, SEEDS = 8, 8


def quick(name):
    """A case with a floor that is reached soon; the benchmark goes down to the real one."""
    case = CASES[name]
    return replace(case, floor=max(case.floor, 1e-12))


def schedule(seed, **options):
    return FaultSchedule.from_seed(seed, exchanges=EXCHANGES, **options)


@pytest.mark.parametrize("name", CASES)
def test_both_sides_stay_equal_under_every_schedule(name):
    injected = Counter()
    for seed in range(SEEDS):
        outcome = simulate(quick(name), schedule(seed))
        assert not outcome.failure, f"seed {seed}: {outcome.failure}"
        assert outcome.compared > outcome.rounds
        injected += outcome.injected
    assert injected.total() > 5 * SEEDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_happens_and_is_survived(kind):
    faults = [Fault(2, kind, 1), Fault(4, kind, 2, 1)]
    if kind == "join":
        faults = [Fault(0, "leave", 1), Fault(1, "leave", 2), *faults]
    if kind == "reorder":  # an order that is another one
        faults = [Fault(n, kind, 0, n) for n in (2, 3, 4)]
    outcome = simulate(quick("ef21-resumed"), FaultSchedule(0, EXCHANGES, tuple(faults)))
    assert not outcome.failure
    assert outcome.injected[kind] >= 2
    assert outcome.crashes == (2 if kind.startswith("crash") else 0)


@pytest.mark.parametrize("kind", ["late-reply", "repeat-reply", "repeat-request"])
def test_what_comes_late_or_twice_is_quarantined(kind):
    once = FaultSchedule(0, EXCHANGES, (Fault(3, kind, 0, 1),))
    outcome = simulate(quick("ef21"), once)
    assert not outcome.failure
    assert outcome.rejections == (2 if kind == "repeat-reply" else 1)


@pytest.mark.parametrize(
    "fault",
    [Fault(1, "repeat-reply", 0, 1), *(Fault(1, "damage-reply", 0, n) for n in (35, 36, 40))],
)
def test_a_roll_call_that_goes_wrong_costs_a_client_a_round(fault):
    for name in ("ef21-pp", "ef21-w"):
        outcome = simulate(quick(name), FaultSchedule(0, EXCHANGES, (fault,)))
        assert not outcome.failure


@pytest.mark.parametrize("options", [{}, {"exchanges": 3}, {"clients": 1}])
def test_every_schedule_has_a_leave_a_join_a_restart_and_a_crash(options):
    for seed in range(300):
        kinds = {fault.kind for fault in FaultSchedule.from_seed(seed, **options).faults}
        assert all(kinds.intersection(group) for group in ALWAYS)
    assert not FaultSchedule.from_seed(0, rate=0, crash_rate=0).faults
    only = FaultSchedule.from_seed(1, rate=0.1, exchanges=2, kinds=["lose-state", "lose-reply"])
    assert "lose-state" in {fault.kind for fault in only.faults}


def test_a_seed_is_a_schedule_and_a_run():
    one, same = schedule(5), schedule(5)
    assert one == same != schedule(6)
    assert eval(repr(one)) == one
    assert str(one).splitlines()[0] == f"seed 5: {len(one.faults)} faults in 8 exchanges"
    case = quick("ef21-sgdm")
    assert simulate(case, one) == simulate(case, same)
    assert not {f.kind for f in one.without("lose-reply", "join").faults} & {"lose-reply", "join"}


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Fault(1, "fire"), "kind='fire' is unknown; choose one of lose-request"),
        (lambda: Fault(-1, "join"), "negative number"),
        (lambda: FaultSchedule.from_seed(0, rate=2.0), "rate=2.0 is not a probability"),
        (lambda: FaultSchedule.from_seed(0, clients=0), "clients=0"),
        (lambda: FaultSchedule.from_seed(0, kinds=["fire"]), "unknown"),
    ],
)
def test_bad_schedules_are_refused(make, part):
    with pytest.raises(ValueError, match=part):
        make()


CRASHES = ("crash-sending", "crash-aggregating", "crash-after-round")


@pytest.mark.parametrize("name", ["ef21-resumed", "ef21-bc-resumed", "ef21-sgdm-on-disk"])
def test_a_server_that_dies_and_goes_on_ends_with_the_same_model(name, tmp_path):
    steady = Quadratics(steady=True)
    case = replace(CASES[name], app=lambda _: steady.app(lambda: False), floor=0.0)

    def model(label, faults):
        (tmp_path / label).mkdir()
        run = Simulation(case, FaultSchedule(0, 12, faults), tmp_path / label, max_rounds=12)
        outcome = run.run()
        assert "the floor 0 was not reached" in outcome.failure
        assert outcome.crashes == len(faults)
        return run.arrays["x"].numpy().tobytes()

    crashes = [Fault(3 + 3 * n, kind, 0, n) for n, kind in enumerate(CRASHES)]
    expected = model("quiet", ())
    for fault in crashes:
        assert model(fault.kind, (fault,)) == expected
    assert model("all", tuple(crashes)) == expected


def test_the_journals_of_a_run_with_faults_pass_the_audit(tmp_path):
    for seed in range(6):
        journal = tmp_path / str(seed) / "journal"
        config = {"journal-dir": str(journal)}
        case = replace(
            quick("ef21-resumed"),
            node_configs=lambda _, config=config: Quadratics().configs(**config),
            server=lambda folder, journal=journal: {
                "checkpoint_dir": folder / "server",
                "journal_dir": journal,
            },
        )
        run = Simulation(case, schedule(seed), journal.parent)
        assert not run.run().failure
        found = audit(journal)
        assert found.passed, found.violations
        assert found.compared > 20


# A checker that never fails shows nothing.


def commits_what_it_sends(patch):
    agree = ClientLog.acknowledge

    def acknowledge(log, ack, method, size):
        return agree(log, log.pending.position if log.pending else ack, method, size)

    patch.setattr(ClientLog, "acknowledge", acknowledge)


def folds_twice(patch):
    fold = RememberedEstimate.fold

    def twice(estimate, client, weight, message, scale):
        fold(estimate, client, weight, message, scale)
        if weight == 12:
            fold(estimate, client, weight, message, scale)

    patch.setattr(RememberedEstimate, "fold", twice)


def never_forgets(patch):
    patch.setattr(RememberedEstimate, "forget", lambda *_: None)


def takes_anything(patch):
    patch.setattr(Ledger, "require_next", lambda ledger, reply, connected: reply.about.seq == 1)


def loses_its_error(patch):
    commit = Method.commit

    def without_private(method, state, message, private, **options):
        kept = {name: 0 * vector for name, vector in private.items()}
        return commit(method, state, message, kept, **options)

    patch.setattr(Method, "commit", without_private)


def rounds_in_its_sum(patch):
    mean = RememberedEstimate.mean
    patch.setattr(
        RememberedEstimate,
        "mean",
        lambda estimate, silent=0: mean(estimate, silent).astype(np.float32).astype(float),
    )


def joins_without_need(patch):
    step = EF21.client_step
    turns = []

    def forgetful(method, state, *arguments):
        turns.append(1)
        return step(method, state, *arguments)

    agree = ClientLog.acknowledge
    patch.setattr(EF21, "client_step", forgetful)
    patch.setattr(
        ClientLog,
        "acknowledge",
        lambda log, *arguments: None if len(turns) % 7 == 6 else agree(log, *arguments),
    )


@pytest.mark.parametrize(
    ("defect", "name", "part"),
    [
        (commits_what_it_sends, "ef21", "I2: .* has committed"),
        (folds_twice, "ef21", "I1: the estimate is off|I2: the server's copy"),
        (never_forgets, "ef21", "I1: the estimate is off|I2: the server's copy"),
        (takes_anything, "ef21", "nobody sent|does not follow|acks of"),
        (loses_its_error, "econtrol", "I2: error of .* is not the fold"),
        (rounds_in_its_sum, "ef21", "I1: the estimate is off"),
        (joins_without_need, "ef21", "nothing had happened to it"),
    ],
)
def test_a_defect_is_found(defect, name, part, monkeypatch):
    defect(monkeypatch)
    kinds = ["twin"] if defect is takes_anything else KINDS
    failures = [simulate(quick(name), schedule(seed, kinds=kinds)).failure for seed in range(6)]
    assert any(re.search(part, failure) for failure in failures), failures
