"""Run every method at its theory step and at the best constant one; compare the bits it sends."""

from collections.abc import Sequence

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from task import load_problems

from fl_ef21.comparison import Check, at_most
from fl_ef21.experiments import (
    Outcome,
    Races,
    against_bits,
    all_accepted,
    multiples_of_theory,
    powers,
    quiet,
)

app = ServerApp()

METHODS = {
    "EF21": ("ef21", "topk"),
    "EF21+": ("ef21+", "topk"),
    "EControl": ("econtrol", "topk"),
    "EF14": ("ef14", "topk"),
    "DIANA": ("diana", "unbiased-randk"),
    "MARINA": ("marina", "unbiased-randk"),
    "DASHA": ("dasha", "unbiased-randk"),
    "GD": ("gd", "identity"),
}
PATIENCE = 3
THEORY = (
    "At theory's steps. EF21, EF21+: derived here. GD: published. DIANA, MARINA, DASHA: recalled. "
    "EF14, EControl: borrowed from EF21, empirical."
)
BEST = (
    "At the best constant step of theory's × 1, 2, 4, … (empirical, an oracle), until the target."
)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes."""
    with quiet():
        _run(grid, context)


def _run(grid: Grid, context: Context) -> None:
    config = context.run_config
    problems = load_problems(config)
    races = Races("baselines", grid, config, problems)
    k, steps = int(config["k"]), powers(int(config["base"]), float(config["largest"]))
    theory, best = [], []
    for problem in problems.values():
        for name, (method, compressor) in METHODS.items():
            text = compressor if method == "gd" else f"{compressor}:{k}"
            arms = list(
                multiples_of_theory(
                    "baselines", problem, name, method, text, steps, seed=int(config["seed"])
                )
            )
            first = len(races.outcomes)
            best.append(races.best_of(arms, PATIENCE))
            theory.append(races.outcomes[first])
    title = f"Top-{k} and Rand-{k}, {config['clients']} clients"
    figures = {
        "theory-steps": against_bits(races.histories(theory), title, THEORY),
        "best-steps": against_bits(races.histories(best), title, BEST),
    }
    races.finish([*theory_checks(theory), all_accepted(races)], figures)


def theory_checks(outcomes: Sequence[Outcome]) -> list[Check]:
    """Return that no theory step diverges, or ends with f above where it began."""
    kinds = {kind: [o for o in outcomes if o.arm.kind == kind] for kind in _kinds(outcomes)}
    return [
        at_most(
            f"runs that diverge or end above f(x⁰), of {len(group)} with steps that are {kind}",
            sum(outcome.rises for outcome in group),
            0,
            kind=kind,
        )
        for kind, group in kinds.items()
    ]


def _kinds(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(outcome.arm.kind for outcome in outcomes))
