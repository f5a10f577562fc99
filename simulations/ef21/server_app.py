"""Run the experiments of the first papers, and check EF21 against classic error feedback."""

from math import inf, isfinite

from arms import EF14, EF21, both_ways, by_k, feedback, some_clients
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from task import load_problems

from fl_ef21.comparison import Check, at_most
from fl_ef21.experiments import (
    Outcome,
    Races,
    against_bits,
    against_bits_both_ways,
    against_rounds,
    all_accepted,
    curves,
    quiet,
)
from fl_ef21.report.sheet import Sheet

app = ServerApp()

EXPERIMENTS = {
    "feedback": feedback,
    "k": by_k,
    "bidirectional": both_ways,
    "participation": some_clients,
}
PATIENCE = 2
BEST = (
    "Each line at the best constant multiple of its theory step (empirical), until the target of "
    "‖∇f‖²."
)
STEPS = (
    "Empirical. The theory step is at 1: derived here for EF21 and EF21+, borrowed from EF21 for "
    "EF14, published for GD. No mark: the target is not reached."
)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    with quiet():
        _run(grid, context)


def _run(grid: Grid, context: Context) -> None:
    config = context.run_config
    problems = load_problems(config)
    races = Races("ef21", grid, config, problems)
    best: dict[str, list[Outcome]] = {}
    for name in str(config["experiments"]).split(","):
        for problem in problems.values():
            for arms in EXPERIMENTS[name](problem, config).values():
                # The figure of the steps needs all of them.
                patience = None if name == "feedback" else PATIENCE
                best.setdefault(name, []).append(
                    races.best_of(arms, patience, cut=name != "feedback")
                )
    checks = [*feedback_checks(best.get("feedback", [])), all_accepted(races)]
    races.finish(checks, _figures(races, best, int(config["clients"])))


def _figures(races: Races, best: dict[str, list[Outcome]], clients: int) -> dict[str, Sheet]:
    found: dict[str, Sheet] = {}
    lines = {name: races.histories(outcomes) for name, outcomes in best.items()}
    if "feedback" in lines:
        title = f"Top-1, {clients} clients"
        found["feedback"] = against_bits(lines["feedback"], title, BEST)
        found["steps"] = curves(
            _by_multiple(races), "Step over its theory step", "Rounds to the target", title, STEPS
        )
    if "k" in lines:
        title = f"EF21 with Top-k, {clients} clients"
        found["k"] = against_bits(lines["k"], title, BEST)
    if "bidirectional" in lines:
        title = f"EF21-BC: Top-2 up, {clients} clients"
        found["bidirectional"] = against_bits_both_ways(lines["bidirectional"], title, BEST)
    if "participation" in lines:
        title = f"EF21-PP with Top-1, {clients} clients"
        found["participation"] = against_rounds(lines["participation"], title, BEST)
        found["participation-bits"] = against_bits(lines["participation"], title, BEST)
    return found


def _by_multiple(races: Races) -> dict[str, dict[str, list[tuple[float, float]]]]:
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for outcome in races.of("feedback"):
        points = found.setdefault(outcome.arm.problem, {}).setdefault(outcome.arm.name, [])
        if isfinite(outcome.rounds_to_target):
            points.append((outcome.arm.multiple, outcome.rounds))
    return found


def feedback_checks(best: list[Outcome]) -> list[Check]:
    """Return for each problem the bits of EF21 to the target over those of EF14."""
    found: dict[str, dict[str, float]] = {}
    for outcome in best:
        found.setdefault(outcome.arm.problem, {})[outcome.arm.name] = outcome.bits_to_target
    return [
        at_most(
            f"{problem}: bits of EF21 to the target over those of EF14, both at their best steps",
            _over(bits[EF21], bits[EF14]),
            1.0,
            kind="published",
        )
        for problem, bits in found.items()
    ]


def _over(ours: float, other: float) -> float:
    """Return a ratio: infinite where we do not arrive, 0 where only the other does not."""
    return inf if ours == inf else ours / other
