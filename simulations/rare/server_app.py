"""Run EF21 with and without its knowledge of rare features, and check what that gains."""

from itertools import pairwise

import numpy as np
from arms import CURVATURE, DENSE, dense, knowing
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from task import load_problems

from fl_ef21.comparison import Check, at_least
from fl_ef21.experiments import (
    Outcome,
    Problem,
    Races,
    against_bits,
    against_rounds,
    all_accepted,
    curves,
    quiet,
)
from fl_ef21.report.sheet import Sheet

app = ServerApp()

STEPS = (
    "Steps: L_AM (Reloaded), Rare and GD published; root(B) and root(B_sqrt), with Top-k on a "
    "client's own coordinates, derived here. Lines end where EF21 with L_AM ends."
)
OWNERS = "Counted from the data. The last mark of a line is c, the most clients of a coordinate."
GAIN = (
    "Empirical, at theory's steps: what EF21 with L_AM has sent in all, over what the other has "
    "sent when it comes as far."
)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    with quiet():
        _run(grid, context)


def _run(grid: Grid, context: Context) -> None:
    config = context.run_config
    problems = load_problems(config)
    shares = [float(share) for share in str(config["shares"]).split(",") if share]
    races = Races("rare", grid, config, problems)
    gains: dict[str, dict[str, float]] = {}
    for place, problem in enumerate(problems.values()):
        rounds = int(config["rounds" if place < len(shares) else "data-rounds"])
        reference = races.run(dense(problem, config), rounds)
        level = reference.last / reference.first
        others = [races.run(arm, rounds, level) for arm in knowing(problem, config)]
        gains[problem.name] = {o.arm.name: _gain(reference, o) for o in others}
    by_share = {share: gains[f"c/n = {share:g}"] for share in shares}
    races.finish(
        [*gain_checks(by_share), all_accepted(races)],
        _figures(races, problems, by_share, int(config["k"])),
        {"gain_in_bits": gains},
    )


def _gain(reference: Outcome, other: Outcome) -> float:
    return reference.bits / other.bits_to_target


def gain_checks(by_share: dict[float, dict[str, float]]) -> list[Check]:
    """Return that the gain grows from each share c/n to the next smaller one."""
    shares = sorted(by_share, reverse=True)
    return [
        at_least(
            f"gain in bits of EF21-RF over {DENSE} at c/n = {rarer:g}, over that at {denser:g}",
            by_share[rarer][CURVATURE] / by_share[denser][CURVATURE],
            1.0,
            kind="published",
        )
        for denser, rarer in pairwise(shares)
    ]


def _figures(
    races: Races, problems: dict[str, Problem], by_share: dict[float, dict[str, float]], k: int
) -> dict[str, Sheet]:
    title = f"Top-{k}, {len(next(iter(problems.values())).objectives)} clients"
    lines = races.histories()
    found = {
        "against-rounds": against_rounds(lines, title, STEPS),
        "against-bits": against_bits(lines, title, STEPS),
    }
    synthetic = {f"c/n = {share:g}" for share in by_share}
    real = {name: _owners(p) for name, p in problems.items() if name not in synthetic}
    if real:  # a synthetic coordinate has the number of owners that it was given
        found["owners"] = curves(
            {"Owners of coordinates": real},
            "Clients, m",
            "Coordinates of at least m clients",
            title,
            OWNERS,
        )
    if len(by_share) > 1:
        names = list(dict.fromkeys(name for gains in by_share.values() for name in gains))
        points = {
            name: [(share, gains[name]) for share, gains in by_share.items() if gains[name] > 0]
            for name in names
        }
        found["gain"] = curves(
            {"Synthetic regression": points},
            "c/n",
            f"Gain in bits over {DENSE}",
            title,
            GAIN,
            log=False,
        )
    return found


def _owners(problem: Problem) -> list[tuple[float, float]]:
    counts = np.zeros(problem.dimension, dtype=int)
    for objective in problem.objectives:
        counts[objective.support()] += 1
    most = np.arange(1, counts.max() + 1)
    return [(float(m), float(np.sum(counts >= m))) for m in most]
